package tuf

// Root is the signed part of root metadata.
type Root struct {
	ConsistentSnapshot bool
	Keys               map[string]*Key // by key id
	Roles              map[string]Role // the four top-level roles
}

// Role lists the keys that may sign, and how many must.
type Role struct {
	KeyIDs    []string // as listed: an id may be repeated, or name no key
	Threshold int      // 1 to MaxKeys
}

var (
	topLevel = []string{RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp}

	keyNames    = []string{"keytype", "scheme", "keyval"}
	keyvalNames = []string{"public"}
	roleNames   = []string{"keyids", "threshold"}
)

func (r *reader) keys(keys *map[string]*Key) error {
	*keys = map[string]*Key{}
	return r.dict(nil, func(name []byte) error {
		id := string(name)
		if len(*keys) >= MaxKeys {
			return r.errorf(r.pos, "more than %d keys", MaxKeys)
		}
		key, err := r.key(id)
		(*keys)[id] = key
		return err
	})
}

func (r *reader) key(id string) (*Key, error) {
	at := r.pos
	key := &Key{ID: id}
	r.kept += 256 + len(id)
	has := seen{}
	err := r.record(keyNames, func(name string) (err error) {
		has[name] = true
		switch name {
		case "keytype":
			key.Type, err = r.word()
		case "scheme":
			key.Scheme, err = r.word()
		case "keyval":
			// What a key of an unknown type has here is its own business.
			err = r.record(keyvalNames, func(name string) (err error) {
				if name == "public" {
					key.Public, err = r.word()
					return err
				}
				return r.skip()
			})
		default:
			err = r.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return key, r.require(at, has, keyNames...)
}

func (r *reader) rootRoles(root *Root) error {
	at := r.pos
	root.Roles = map[string]Role{}
	has := seen{}
	err := r.dict(topLevel, func(key []byte) error {
		name := string(key)
		has[name] = true
		var role Role
		roleAt := r.pos
		roleHas := seen{}
		if !IsTopLevel(name) {
			return r.skip()
		}
		err := r.record(roleNames, func(name string) error {
			return r.rolePart(&role, roleHas, name)
		})
		if err != nil {
			return err
		}
		root.Roles[name] = role
		return r.require(roleAt, roleHas, roleNames...)
	})
	if err != nil {
		return err
	}
	return r.require(at, has, topLevel...)
}

// rolePart reads one member of an object that Describes a role.
func (r *reader) rolePart(role *Role, has seen, name string) (err error) {
	has[name] = true
	switch name {
	case "keyids":
		return r.array(func(i int) error {
			if i >= MaxKeys {
				return r.errorf(r.pos, "more than %d key ids", MaxKeys)
			}
			if err := r.list(); err != nil {
				return err
			}
			id, err := r.word()
			role.KeyIDs = append(role.KeyIDs, id)
			return err
		})
	case "threshold":
		n, err := r.integer(1, MaxKeys)
		role.Threshold = int(n)
		return err
	}
	return r.skip()
}
