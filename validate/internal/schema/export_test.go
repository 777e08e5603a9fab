package schema

// Work returns what the last scan looked at: steps of plans for values, and steps that may have looked at a member or an item.
func (m *Machine) Work() int { return m.work }
