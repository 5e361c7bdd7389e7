-- A front end of a version that renews the lease by expires alone keeps it from
-- candidates of this one, too, and gives it up for them at once: so front ends can be
-- updated one after the other.
CREATE FUNCTION renewed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.expires = '-infinity' THEN
		NEW.holder := '';
	ELSE
		NEW.renewals := OLD.renewals + 1;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER renewed BEFORE UPDATE OF expires ON lease FOR EACH ROW
	WHEN (NEW.epoch = OLD.epoch AND NEW.holder = OLD.holder AND NEW.renewals = OLD.renewals AND NEW.expires <> OLD.expires)
	EXECUTE FUNCTION renewed();
