package mysqlsession_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// matrixRow is a fault, and the tests that show what comes of it.
type matrixRow struct {
	name  string
	fault string
	// tests are names of test functions, behind their package if that is an internal one:
	// "guard.TestName". What follows a slash is the beginning of a subtest's name.
	tests []string
	note  string // what is different from the matrix, or why there is no test
}

// strangersTest runs a pool against everything that may be in a server's place. It has
// subtests for its rows.
const strangersTest = "TestAStrangerInTheServersPlaceCostsAPoolNothing"

// chaosVariable makes the chaos last longer than the seconds that every run can have.
const chaosVariable = "MYSQLSESSION_TEST_CHAOS"

// faultMatrix says where each fault is tested: those of the fault matrix, which have
// numbers, and a server's own.
var faultMatrix = []matrixRow{
	// Connecting.
	{"F01", "port closed", []string{"TestAClosedPortIsUnavailableAtOnceAndSafeToRetry", "TestNewPoolFailsWithTheDialsOwnErrorAndLeavesNothing/refused",
		"TestWhileTheServerIsDownCallersFailAtOnceAndDialsAreFew"}, ""},
	{"F02", "packets that open a connection are dropped", []string{"TestADialIntoABlackHoleEndsAfterConnectTimeoutAlsoWithoutItsCaller",
		"TestNewPoolFailsWithTheDialsOwnErrorAndLeavesNothing/nobody answers"},
		"a listener with a full backlog, of which the kernel drops such packets: rules of a firewall need root"},
	{"F03", "accepts and does not greet", []string{strangersTest + "/F03", "TestALoginThatStallsEndsAfterConnectTimeout/no greeting",
		"TestAServerThatHangsCostsEachCallItsContextAndThenNothing", "guard.TestAServerThatStallsIsLeftWhenTheContextEnds/before the greeting"}, ""},
	{"F04", "stalls in the greeting, or drips", []string{strangersTest + "/F04", "TestALoginThatStallsEndsAfterConnectTimeout/half a greeting",
		"TestALoginThatStallsEndsAfterConnectTimeout/a greeting in drips", "guard.TestAServerThatStallsIsLeftWhenTheContextEnds/in a drip"}, ""},
	{"F05", "stalls later in the login", []string{strangersTest + "/F05", "TestALoginThatStallsEndsAfterConnectTimeout/no answer to the",
		"guard.TestAServerThatStallsIsLeftWhenTheContextEnds/after the request for its key"}, ""},
	{"F06", "the caller leaves meanwhile", []string{"TestACallerThatLeavesDuringALoginReturnsAtOnce", "TestADialGoesOnWithoutTheCallerThatWantedIt",
		"guard.TestAServerThatStallsIsLeftWhenTheContextIsCancelled"}, ""},
	{"F07", "a broken greeting", []string{strangersTest + "/F07", "guard.TestABrokenGreetingIsRefused"}, ""},
	{"F08", "packets of 16 MiB in the login", []string{strangersTest + "/F08", "guard.TestAnOversizedPacketIsRefusedUnread"}, ""},
	{"F09", "another protocol's server", []string{strangersTest + "/F09", "guard.TestAnotherProtocolsServerIsRefused", "TestTheErrorForABrokenProtocolQuotesNothing"}, ""},
	{"F10", "a wrong sequence number in the login", []string{strangersTest + "/F10", "guard.TestAPacketOutOfSequenceIsRefused"}, ""},
	{"F11", "an authentication method that reveals the password", []string{strangersTest + "/F11", "guard.TestAMethodThatRevealsThePasswordIsRefused",
		"guard.TestTheSwitchOfBefore41IsRefused", "guard.TestASecondSwitchIsRefused", "TestLoginByAnotherMethodIsRefusedByName"}, ""},
	{"F12", "the password is wanted without protection", []string{strangersTest + "/F12", "TestTheServersKeyIsAskedForOnlyWhereThatIsSafeOrAllowed",
		"guard.TestTheServersKeyIsNotAskedForOnAnOpenConnection"}, ""},
	{"F13", "an unfit key", []string{strangersTest + "/F13", "guard.TestAnUnfitKeyIsRefused", "guard.TestAnErrorInTheKeysPlaceIsTheServersError"}, ""},
	{"F14", "a truncated or missing OK", []string{strangersTest + "/F14", "guard.TestALoginWithoutTheServersOKFails", "guard.TestALoginThatOnlySaysItSucceededFails"}, ""},
	{"F15", "TLS is required and there is none", []string{strangersTest + "/F15", "TestWithoutTLSOnTheServerNoCredentialIsSent", "guard.TestWithoutTLSOnTheServerNothingIsSent"}, ""},
	{"F16", "a certificate that does not verify", []string{strangersTest + "/F16", "TestEachModeVerifiesWhatItPromises", "TestLoginInEachModeOfTLS",
		"guard.TestACertificateThatDoesNotVerifyIsRefused"}, ""},
	{"F17", "a forged refusal before TLS", []string{strangersTest + "/F17", "TestARefusalBeforeTLSIsNotFinal", "guard.TestAnErrorBeforeTLSIsMarked"}, ""},
	{"F18", "too many connections at the login", []string{strangersTest + "/F18", "TestCallersWaitForTheConnectionsThereAreWhenTheServerTakesNoMore",
		"TestAServerThatTakesNoMoreConnectionsIsUsedWithThoseThereAre", "TestCallersShareTheConnectionsThatAServerAllows"}, ""},
	{"F19", "the account is refused", []string{strangersTest + "/F19", "TestARefusalForGoodIsNotTriedAgainForASecond", "TestTheServersRefusalNamesWhatItIsAbout",
		"TestLoginWithTheWrongPasswordNamesTheUser"}, ""},
	{"F20", "the session cannot be set up", []string{strangersTest + "/F20", "TestASessionThatCannotBeSetUpIsAnErrorAndItsConnectionIsClosed",
		"TestALoginThatIsCutAnywhereIsUnavailableAndLeavesNothing", "TestAHookThatTakesTooLongIsUnavailability"}, ""},
	{"F21", "a panic in a hook or a parser", []string{strangersTest + "/F21", "TestAnErrorOrPanicOfAHookIsTheCallersErrorAndCostsNoSlot",
		"guard.TestAPanicInTheLoginEndsTheLoginOnly"}, ""},

	// The pool.
	{"F22", "all connections are busy", []string{"TestWhoFindsEveryConnectionBusyWaitsForItsContextAndLeavesNoTrace", "TestAWaitEndsWithTheCallersContext",
		"TestNoConnectionIsLostWhenWaitsEndAsConnectionsAreReleased", "admission.TestNoTurnIsLostWhenWaitersGiveUpAsTheyAreAdmitted"}, ""},
	{"F23", "too many wait", []string{"TestExactlyBacklogCallersMayWaitAndTheNextIsRefusedAtOnce", "TestBeingRefusedAllocatesNothing"}, ""},
	{"F24", "the server is down for thousands of callers", []string{"TestThousandsOfCallersOfAServerThatIsDownAreToldTogether",
		"TestWhileTheServerIsDownCallersFailAtOnceAndDialsAreFew", "TestWhileOneDialTriesInVainTheOthersFailAtOnce"}, ""},
	{"F25", "the server is back", []string{"TestWhenTheServerIsBackOneDialTriesAndTheOthersFollowFewAtATime", "TestAfterARestartEveryDeadConnectionIsReplacedUnseen"}, ""},
	{"F26", "a hundred dead idle connections", []string{"TestAfterARestartEveryDeadConnectionIsReplacedUnseen", "TestConnectionsThatDiedTogetherAreReplacedUnseen"}, ""},
	{"F27", "a release is forgotten", []string{"TestAForgottenConnectionIsCountedAndTakenBackByClose", "TestAHolderThatOutlastsTheGraceIsCutOff"},
		"it is counted in Stat; there is no report of who acquired it"},
	{"F28", "released twice, used after", []string{"TestASecondReleaseDoesNothing", "TestADiscardedConnectionIsClosedAndItsSlotIsFree"}, ""},
	{"F29", "a panic between acquire and release", []string{"TestAPanicInDoGoesOnAndDiscardsTheConnection"}, ""},
	{"F30", "an acquire inside of another", []string{"TestAnAcquireInsideOfAnotherEndsAndIsNoDeadlock", "TestNoOperationOfAStoreNeedsTwoConnections"}, ""},
	{"F31", "close with everything going on", []string{"TestClosingAPoolEndsEveryWaitAtOnceAndGivesHoldersTheirTime", "TestAHolderThatOutlastsTheGraceIsCutOff",
		"TestClosingAPoolEndsItsDialsAtOnce", "TestUnderStressNobodyGetsAnothersReplyAndNoSlotIsLost"}, ""},
	{"F32", "acquire after close, close twice", []string{"TestClosingAnUnusedPoolTakesNoTimeAndMakesItUnusable"}, ""},
	{"F33", "all lifetimes end together", []string{"TestConnectionsEndWithinTheirLifetimeAndNotAllAtOnce", "TestAConnectionInUseEndsItsLifetimeWithItsRelease"}, ""},
	{"F34", "the clock jumps", []string{"TestAClockThatJumpsEndsNoConnection", "TestThePoolsTimesAreMonotonic"}, "the machine's own clock is no test's to set"},

	// In use.
	{"F35", "KILL CONNECTION while idle", []string{"TestAConnectionKilledWhileIdleIsReplacedUnseen"}, ""},
	{"F36", "wait_timeout", []string{"TestAConnectionThatTheServerFoundIdleForTooLongIsReplacedUnseen", "TestANoticeFromBeforeTheRequestMeansThatItWasNotApplied"}, ""},
	{"F37", "something to read on an idle connection", []string{"TestAnIdleConnectionOnWhichSomethingCameIsNotUsed", "TestAReplyWithMoreBehindItIsTheConnectionsLast"}, ""},
	{"F38", "a write fails", []string{"TestARequestThatCouldNotBeSentWholeIsSentAgainOnAnotherConnection", "TestAServerThatStopsReadingCostsSendTimeoutAndNothingIsApplied",
		"TestARequestThatWasNotSentWholeIsSafeToRetry"}, ""},
	{"F39", "the connection ends before the reply", []string{"TestAWriteWhoseReplyIsLostHasAnUnknownOutcomeAndAReadIsRepeatedUnseen",
		"TestAConnectionKilledWhileItWritesLeavesTheOutcomeUnknownAndIsNotRepeated", "TestAConnectionKilledWhileItReadsIsUnseen",
		"TestACrashInMidCallIsUnknownToAWriteAndTheStoreIsBackWithTheServer", "TestATransactionThatIsCutAnywhereIsWholeOrNothingAndTheCallerIsToldTheTruth"}, ""},
	{"F40", "the connection ends in the reply", []string{"TestAWriteWhoseReplyIsLostHasAnUnknownOutcomeAndAReadIsRepeatedUnseen/cut in the reply's header",
		"TestAConnectionLostBehindARequestLeavesAWritesOutcomeUnknown"}, ""},
	{"F41", "the deadline passes before the reply", []string{"TestACallToASilentServerEndsWithItsContextAndItsConnectionWithIt",
		"TestACallEndsWithItsContextAtOnceAndItsConnectionIsClosed", "TestNobodyGetsTheReplyOfACancelledCall"}, ""},
	{"F42", "a cancellation meets the reply", []string{"TestACancellationThatMeetsTheReplyLeavesTheConnectionInStepOrClosed",
		"TestACallWaitsForAnInterruptionThatCameTooLate", "TestACancellationInTheCallsFirstMomentEndsItAtOnce"}, ""},
	{"F43", "the context had ended before", []string{"TestACallWithAnEndedContextDoesNoInputOrOutputAndKeepsTheConnection"}, ""},
	{"F44", "the server hangs", []string{"TestAServerThatHangsCostsEachCallItsContextAndThenNothing"}, ""},
	{"F45", "a half open connection", []string{"TestACallToASilentServerEndsWithItsContextAndItsConnectionWithIt/a connection that is half open",
		"TestACallToASilentServerEndsAfterReadTimeout/a connection that is half open"}, "TCP_USER_TIMEOUT is not set: ReadTimeout ends what has no deadline"},
	{"F46", "KILL QUERY", []string{"TestAnInterruptedStatementKeepsItsConnectionInStep", "TestAWritesErrorIsHandledAsItsCodeDemands"}, ""},
	{"F47", "a lock wait that takes too long", []string{"TestALockThatTakesTooLongIsAnErrorAndLeavesNothing", "TestACommitThatTheServerRefusesHasRolledBack"}, ""},
	{"F48", "a deadlock", []string{"TestAStoreRepeatsWhatADeadlockUndid", "TestADeadlockInTheMiddleOfAPipelineLeavesNothingCommitted"}, ""},
	{"F49", "the server turns read-only", []string{"TestAReadOnlyServerIsNotWritableAndNothingIsApplied", "TestAReadOnlyServerIsLeftByTheWholePool",
		"TestAWritesErrorIsHandledAsItsCodeDemands"}, ""},
	{"F50", "the server says that it is going", []string{"TestAWritesErrorIsHandledAsItsCodeDemands", "TestAReadsErrorIsHandledAsItsCodeDemands",
		"TestAServerThatServesNobodyIsUnavailable", "TestServerErrorsThatAnnounceAnEndCloseTheConnection"}, ""},
	{"F51", "a graceful shutdown", []string{"TestAGracefulShutdownEndsCallsAsACrashDoesAndNothingWorse"}, ""},
	{"F52", "prepared statements are lost", []string{"TestStatementsThatTheServerLostArePreparedAnewUnseen", "TestAStatementThatTheServerHasLostIsPreparedAnewTheNextTime"}, ""},
	{"F53", "a column is added", []string{"TestAColumnThatIsAddedWhileStatementsArePreparedChangesNothing",
		"TestASessionThatCannotBeSetUpIsAnErrorAndItsConnectionIsClosed/there is a column too many"}, ""},
	{"F54", "DDL holds a metadata lock", []string{"TestADDLThatWaitsForALockHoldsCallsUpForLockWaitTimeout", "TestADDLLockHoldsAWriteUpForLockWaitTimeout"}, ""},
	{"F55", "callers give up on a locked row", []string{"TestWhatCallersGaveUpDoesNotPileUpOnTheServer"}, ""},
	{"F56", "a value over the limit", []string{"TestValuesOverTheServersPacketLimitAreRefusedBeforeTheyAreSent",
		"TestARequestOfExactlyMaxAllowedPacketIsRefusedAndOneByteLessIsSent"}, ""},
	{"F57", "a value over the server's limit is sent", []string{"TestAWritesErrorIsHandledAsItsCodeDemands", "TestAPacketLimitThatIsLoweredMeanwhileIsHeeded"},
		"the limit is read with every connection, so this takes a proxy with a smaller one: the error is injected"},
	{"F58", "a row over the limit", []string{"TestReplyPacketsOverTheLimitAreRefusedByTheirHeader", "TestMemoryGrowsWithWhatArrivesAndNotWithWhatIsPromised",
		"TestAPacketOfSeveralFramesIsHeldToTheLimitAsAWhole"}, ""},
	{"F59", "malformed replies", []string{"TestMalformedRepliesAreProtocolErrorsAndCloseTheConnection", "TestMalformedBinaryRepliesAreProtocolErrorsAndCloseTheConnection",
		"TestMalformedRepliesToAPrepareAreProtocolErrorsAndNothingWasExecuted", "TestAnErrorAmongRowsIsTheServersAndKeepsTheConnection",
		"FuzzAReplyEndsACallOrTheConnection", "wire.TestAttacksAreMalformedOrHarmless"}, ""},
	{"F60", "bytes in any pieces", []string{"TestBytesInPiecesLateAndSlowAreTheSameBytes", "TestRepliesInSegmentsOfOneByteAreReadLikeAnyOther",
		"wire.TestManyPacketsInOneReadAreTakenOneByOne"}, ""},
	{"F61", "a server that does not commit by itself", []string{"TestWhatTheServerOpensAtConnectIsNotWrittenInto", "TestSessionsLastOnAServerThatDoesNotCommitByItself",
		"TestAConnectionWithSomethingOpenIsClosedOnItsRelease"}, "it cannot come to a lost write: autocommit is set, and asked for, with every connection"},
	{"F62", "a non-strict sql_mode", []string{"TestNothingIsStoredDamagedByAServerInNonStrictMode", "TestColumnsThatAreTooShortAreAnErrorAndStoreNothing"}, ""},
	{"F63", "a duplicate key when creating", nil, "does not apply: a session is stored by an upsert, for which a key that is there is no error"},
	{"F64", "an update that changes nothing", []string{"TestStoreKeepsItsContract/touching twice in one second is no error",
		"TestTheLoginOffersWhatTheRestReliesOnAndNoMore"}, ""},
	{"F65", "no room for prepared statements", []string{"TestAServerWithoutRoomForPreparedStatementsServesText", "TestAServerWithoutRoomForStatementsGetsText"}, ""},
	{"F66", "the clean-up beside traffic", []string{"TestTheCleanUpFailsNobodysCall", "TestStoreKeepsItsContract/clean-ups of several stores at once are no error"}, ""},
	{"F67", "bytes are altered", []string{"TestAByteThatIsAlteredAnywhereLeavesNothingBehind"}, ""},
	{"F68", "everything at once", []string{"TestWhileEverythingGoesWrongEverySessionHoldsWhatItsWriterWasTold", "TestThePoolNeverHasMoreSocketsThanItMay"},
		"3 s in every run; " + chaosVariable + "=60s is what the matrix wants"},

	// A server's own.
	{"restart", "", []string{"TestAfterARestartEveryDeadConnectionIsReplacedUnseen", "TestAGracefulShutdownEndsCallsAsACrashDoesAndNothingWorse"}, ""},
	{"kill -9", "", []string{"TestACrashInMidCallIsUnknownToAWriteAndTheStoreIsBackWithTheServer"}, ""},
	{"SIGSTOP", "", []string{"TestAServerThatHangsCostsEachCallItsContextAndThenNothing"}, ""},
	{"KILL CONNECTION", "", []string{"TestAConnectionKilledWhileIdleIsReplacedUnseen", "TestAConnectionKilledWhileItWritesLeavesTheOutcomeUnknownAndIsNotRepeated"}, ""},
	{"KILL QUERY", "", []string{"TestAnInterruptedStatementKeepsItsConnectionInStep"}, ""},
	{"wait_timeout", "", []string{"TestAConnectionThatTheServerFoundIdleForTooLongIsReplacedUnseen"}, ""},
	{"max_connections reached", "", []string{"TestAServerThatTakesNoMoreConnectionsIsUsedWithThoseThereAre"}, ""},
	{"read_only", "", []string{"TestAReadOnlyServerIsNotWritableAndNothingIsApplied", "TestAReadOnlyServerIsLeftByTheWholePool"}, ""},
	{"disk full", "", []string{"TestAWritesErrorIsHandledAsItsCodeDemands"}, "the errors 1021 and 1114 come from a trigger"},
	{"max_allowed_packet lowered at run time", "", []string{"TestAPacketLimitThatIsLoweredMeanwhileIsHeeded"}, ""},
	{"sql_mode not strict", "", []string{"TestNothingIsStoredDamagedByAServerInNonStrictMode"}, ""},
	{"DDL", "", []string{"TestADDLThatWaitsForALockHoldsCallsUpForLockWaitTimeout"}, ""},
}

// lastRow is the number of rows that the fault matrix has.
const lastRow = 68

func TestEveryFaultOfTheMatrixHasATestThatExists(t *testing.T) {
	tests, texts := parseTests(t)
	seen := map[string]bool{}
	for _, row := range faultMatrix {
		if seen[row.name] {
			t.Errorf("%s is there twice", row.name)
		}
		seen[row.name] = true
		if len(row.tests) == 0 && row.note == "" {
			t.Errorf("%s has neither a test nor a reason", row.name)
		}
		for _, test := range row.tests {
			function, part, _ := strings.Cut(test, "/")
			if !tests[function] {
				t.Errorf("%s: there is no %s", row.name, function)
			}
			isPart := func(text string) bool { return strings.HasPrefix(text, part) }
			if part != "" && !slices.ContainsFunc(texts, isPart) {
				t.Errorf("%s: no text of a test begins with %q", row.name, part)
			}
		}
	}
	for n := 1; n <= lastRow; n++ {
		if name := fmt.Sprintf("F%02d", n); !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// parseTests returns the names of all test functions, and the texts in tests and in the
// conformance suite, of which subtests have their names.
func parseTests(t *testing.T) (tests map[string]bool, texts []string) {
	t.Helper()
	tests = map[string]bool{}
	set := token.NewFileSet()
	parse := func(folder, prefix string) {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if !strings.HasSuffix(name, "_test.go") && folder != filepath.Join("internal", "conformance") {
				continue
			}
			file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, declaration := range file.Decls {
				function, ok := declaration.(*ast.FuncDecl)
				if ok && function.Recv == nil && (strings.HasPrefix(function.Name.Name, "Test") || strings.HasPrefix(function.Name.Name, "Fuzz")) {
					tests[prefix+function.Name.Name] = true
				}
			}
			if filepath.Base(name) != "matrix_test.go" {
				texts = append(texts, literals(file)...)
			}
		}
	}
	parse(".", "")
	require.NoError(t, filepath.WalkDir("internal", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			parse(name, entry.Name()+".")
		}
		return err
	}))
	return tests, texts
}

func literals(file *ast.File) (texts []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				texts = append(texts, text)
			}
		}
		return true
	})
	return texts
}
