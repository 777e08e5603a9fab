package seal

// Canary appends a record of no message to dst, bound to c, under the key with an id, which need not be the primary one. Open it where
// boxes of that key have to be opened one day, after a restore, say, to learn now whether the key is there. The errors are those of Open, and
// it is no way to seal a message under an old key.
func (k *Keyring) Canary(dst []byte, id ID, c Context) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e, err := k.opener(id)
	if err != nil {
		return nil, err
	}
	aad := c.binding(recordVersion, e.ID)
	defer release(aad)
	dst = append(append(dst, recordVersion), e.ID[:]...)
	return e.record.Seal(dst, nil, *aad), nil
}
