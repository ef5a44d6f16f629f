package mysqlsession

// texts holds the statements of one store, made once.
type texts struct {
	selectValue     string
	selectLength    string
	selectValues    rungs
	selectSessions  rungs
	selectKeys      rungs
	selectFree      rungs
	upsertSessions  [2]rungs // indexed by dialect
	upsertMetadata  [2]rungs
	replaceSession  string
	exchangeSession string
	touchSession    string
	touchSessions   [2]rungs // indexed by keying
	endSession      string
	endSessions     [2]rungs
	endLiveSession  string
	deleteSession   string
	deleteSessions  [2]rungs
	deleteExactly   [2]rungs
	selectSubject   string
	countSubject    string
	selectExcess    string
	deleteFree      string
	selectPage      string
	selectExpired   string
	deleteExpired   [2]rungs

	selectInfo        string
	selectMetadata    string
	selectSubjectInfo string
	countPage         string
	countExpired      string
}

// rungs holds a statement in each size of the ladder.
type rungs [len(ladder)]string

// of is the statement for n rows, which must be one of the ladder's sizes.
func (r *rungs) of(n int) string {
	for i, size := range ladder {
		if size == n {
			return r[i]
		}
	}
	panic(prefix + "BUG: no statement of that size")
}

func makeRungs(text func(n int) string) rungs {
	var r rungs
	for i, size := range ladder {
		r[i] = text(size)
	}
	return r
}

func newTexts(t tables, largestValue int) texts {
	x := texts{
		selectValue:     selectValue(t, largestValue),
		selectLength:    selectLength(t),
		selectValues:    makeRungs(func(n int) string { return selectValues(t, n, largestBeside(n, largestValue)) }),
		selectSessions:  makeRungs(func(n int) string { return selectSessions(t, n, largestValue) }),
		selectKeys:      makeRungs(func(n int) string { return selectKeys(t, n) }),
		selectFree:      makeRungs(func(n int) string { return selectFree(t, n) }),
		replaceSession:  replaceSession(t),
		exchangeSession: exchangeSession(t),
		touchSession:    touchSession(t),
		endSession:      endSession(t),
		endLiveSession:  endLiveSession(t),
		deleteSession:   deleteSession(t),
		selectSubject:   selectSubject(t),
		countSubject:    countSubject(t),
		selectExcess:    selectExcess(t),
		deleteFree:      deleteFree(t),
		selectPage:      selectPage(t),
		selectExpired:   selectExpired(t),

		selectInfo:        selectInfo(t),
		selectMetadata:    selectMetadata(t),
		selectSubjectInfo: selectSubjectInfo(t),
		countPage:         countPage(t),
		countExpired:      countExpired(t),
	}
	for _, primary := range []bool{false, true} {
		x.touchSessions[keying(primary)] = makeRungs(func(n int) string { return touchSessions(t, n, primary) })
		x.endSessions[keying(primary)] = makeRungs(func(n int) string { return endSessions(t, n, primary) })
		x.deleteSessions[keying(primary)] = makeRungs(func(n int) string { return deleteSessions(t, n, primary) })
		x.deleteExactly[keying(primary)] = makeRungs(func(n int) string { return deleteExactly(t, n, primary) })
		x.deleteExpired[keying(primary)] = makeRungs(func(n int) string { return deleteExpired(t, n, primary) })
	}
	for _, rowAlias := range []bool{false, true} {
		x.upsertSessions[dialect(rowAlias)] = makeRungs(func(n int) string { return upsertSessions(t, n, rowAlias) })
		x.upsertMetadata[dialect(rowAlias)] = makeRungs(func(n int) string { return upsertMetadata(t, n, rowAlias) })
	}
	return x
}

// dialect is the index of the texts for a server that knows row aliases, or does not.
func dialect(rowAlias bool) int { return indexOf(rowAlias) }

// keying is the index of the texts for a table whose primary key is the id, or is not.
func keying(primary bool) int { return indexOf(primary) }

func indexOf(second bool) int {
	if second {
		return 1
	}
	return 0
}
