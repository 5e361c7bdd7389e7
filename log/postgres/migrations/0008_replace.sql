-- Where the entries are since a new tree took the place of another, and the tree that
-- is being filled to do so; empty: none.
ALTER TABLE log ADD COLUMN url text NOT NULL DEFAULT '', ADD COLUMN next text NOT NULL DEFAULT '';
