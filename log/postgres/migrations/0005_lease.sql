-- Candidates take the lease when they have seen for as long as it lasts, by their own
-- clocks, that nothing of the row changes: each renewal changes the number. What the
-- database's clock says of expires is for people and for front ends that forward.
-- A lease that was given up has no holder.
ALTER TABLE lease ADD COLUMN renewals bigint NOT NULL DEFAULT 0;

-- fence fails unless the lease is this holder's in this epoch, and keeps it from being
-- taken over until the transaction ends.
CREATE OR REPLACE FUNCTION fence(wanted bigint, who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM lease WHERE epoch = wanted AND holder = who FOR KEY SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the lease of epoch % has ended', wanted USING ERRCODE = 'TL001';
	END IF;
END $$;
