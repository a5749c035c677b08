/**
 * Every number that bounds something, with the reason it is that number.
 * Defaults are written here once and quoted elsewhere.
 */

/** Version of the frame layout. Another version is counted and skipped. */
export const wireVersion = 1

/** A frame, topic not included. Sixteen full batches fit; a receiver sets its socket's `maxMessageSize` from it. */
export const frameBytesMax = 1_048_576

/** One record. Longer than this is a mistake or an attachment, and one of them must not fill a batch. */
export const recordBytesMax = 65_536

/** What is kept of a record that was cut. Enough to recognise it by. */
export const cutRecordBytes = 4_096

/** Records per frame: bounds what one frame can make a receiver build. */
export const frameRecordsMax = 4_096

/** Topic text. Room for three long names, small beside a batch. */
export const topicBytesMax = 200

/** Topics one origin may number. A program that logs under random names folds into `…~other.` after this. */
export const originTopicsMax = 256

/** Highest sequence number and time. Above it, JavaScript integers lose exactness. */
export const sequenceMax: number = Number.MAX_SAFE_INTEGER

/** A batch closes at this many bytes: large frames keep ZeroMQ's per-message cost and its message-counted marks small. */
export const batchBytesMax = 65_536

/** A batch closes at this many records, so that a flood of tiny lines still leaves in bounded frames. */
export const batchRecordsMax = 512

/** A batch closes this long after its first record. A person at a live tail does not notice 20 ms. */
export const batchAgeMaxMs = 20

/** Batches open at one time. 256 topics × 64 KiB would be twice the ring; 16 are 1 MiB. */
export const openBatchesMax = 16

/** Full batches that may wait for the end of the turn to be sent: waking ZeroMQ's thread is then on no log call's stack. */
export const fullBatchesMax = 4

/** Bytes the process keeps for frames not known to be kept elsewhere. About 8 s at 1 MB/s. */
export const ringBytesMax = 8_388_608

/** What a frame costs beside its bytes: objects, buffer headers, list slots. Measured at about 400 bytes; rounded up. */
export const frameOverheadBytes = 512

/** Frames in one ZeroMQ pipe. ZeroMQ counts messages, not bytes: 16 × 64 KiB is 1 MiB that dies with the connection. */
export const dataHighWaterMarkFrames = 16

/** A data link that refused a frame is tried again after this. 16 × 64 KiB per 5 ms is 200 MB/s. */
export const retrySendMs = 5

/** While frames are refused the distance doubles up to this: a stopped collector must not keep an idle application busy. */
export const retrySendMaxMs = 100

/** How often an agent looks at its sockets for subscriptions and acknowledgements when nothing happens. */
export const agentPollMs = 50

/**
 * Of a publisher's socket, for what its subscribers send up: none. A bound would be no bound, since libzmq moves what
 * comes into a list of its own; but a peer that reaches it, sends a PING and resets its connection aborts the process.
 */
export const upstreamHighWaterMark = 0

/** Subscription events handled in one look. The rest waits for the next look, so a flood cannot hold the application. */
export const subscriptionsPerPollMax = 1_000

/** Prefixes an agent remembers per link; more than a collector needs, and a bound on what a hostile peer can store in the application. */
export const subscriptionPrefixesMax = 4_096

/** A wanted set counts when it has not changed for this long: prefixes arrive one by one. */
export const wantedSettleMs = 100

/** Manifests follow the last frame at these distances, then keep the last one. Loss at the end of a burst is seen within 50 ms. */
export const manifestDelaysMs: readonly number[] = [50, 200, 1_000, 2_000]

/** A manifest with names and every topic, for receivers that came later. */
export const fullManifestEveryMs = 10_000

/** Topic entries in one manifest message; further ones go into a second. 256 topics of 200 bytes stay far below a frame. */
export const manifestTopicsMax = 512

/** A receiver that binds sees the old and the new connection interleaved after a reconnect: a hole is not a loss yet. */
export const holeGraceMs = 250

/** Requests for one hole before it is given up. */
export const repairAttemptsMax = 5

/** Wait for the answer to the first request; doubles with each further one. */
export const repairTimeoutMs = 250

/** Bytes an agent re-sends per second on request: repair must not push live traffic out of the pipe. */
export const repairBytesPerSecond = 4_194_304

/** The same range asked for again within this time is ignored: the answer is on its way. */
export const repairLingerMs = 100

/** Ranges said gone in one manifest, and frames waiting to be sent again. A peer may ask for more; it gets it when it asks again. */
export const goneRangesMax = 1_024
export const repairsQueuedMax = 1_024

/** Control messages handled in one look. Each may name 256 ranges. */
export const controlsPerPollMax = 16

/** Ranges in one control message. */
export const controlRangesMax = 256

/** A control message. Above ZeroMQ's handshake needs (276 bytes), below anything that costs an application memory. */
export const controlBytesMax = 65_536

/** Bytes of the note beside an acknowledgement; an agent holds one for each topic and collector. */
export const noteBytesMax = 256

/** Ranges in a note, at most 19 bytes each. */
export const noteRangesMax = 12

/** Acknowledgements put into one control message: with the longest topics and notes they are 60 KiB. */
export const acknowledgementsPerMessage = 128

/** Ranges a receiver holds above the frontier of one topic. A hostile sender cannot make it hold more. */
export const rangesPerTopicMax = 1_024

/** Widest hole that is believed. 2^32 records are an hour at a million a second. */
export const holeRecordsMax = 4_294_967_296

/** Origins a receiver follows; the oldest finished one is forgotten first, its totals stay. */
export const originsMax = 10_000

/** Topics a receiver follows, of all origins together. At about 700 bytes each, ten thousand origins of 272 would be 1.8 GiB. */
export const topicBooksMax = 100_000

/** A finished origin is shown this long, then forgotten; its totals stay. */
export const finishedShownMs = 300_000

/** Topics listed in one status: about 5 MiB of text, made at one go beside the intake. */
export const statusTopicsMax = 20_000

/** Asks of live tails in one status, and names to each: more is a flood, and nobody reads it. */
export const statusAsksMax = 100

/** Entries of the loss report: 1,024 are 200 KiB of a status. Older ones are folded together by reason. */
export const lossEntriesMax = 1_024

/** Services with series of their own under /metrics; later ones share one. A hundred of 8 levels are 13,000 series. */
export const seriesServicesMax = 100

/** Ranges asked of one origin at one time: 16 messages, which its socket can hold unread. The rest waits for the next time. */
export const askedRangesMax = 4_096

/** A link without any sign from the collector for this long is closed and built anew. ZeroMQ gives up some connections for good, silently. */
export const watchdogSilenceMs = 15_000

/** First and longest distance between two rebuilds of a link. */
export const rebuildBackoffMs: { readonly first: number; readonly max: number } = { first: 15_000, max: 60_000 }

/** The process's end waits at most this long for what is not delivered yet. */
export const exitWaitMs = 100

/** `close()` and `flush()` wait this long unless told otherwise. */
export const closeDeadlineMs = 2_000

/** Between two notices on stderr. */
export const noticeEveryMs = 30_000

/** Names of loggers remembered per destination; a program with one child logger per request would grow it for ever. */
export const loggerNamesMax = 1_000

/**
 * Loggers with a level of their own that are remembered so that debug can be switched on in them. A program that makes one
 * for each request has that many, of about a kilobyte, until its next full collection of garbage: they outlive the small ones.
 */
export const loggersMax = 4_000
/** Of them, those whose methods are decided anew in one turn: at one to two microseconds each, under two milliseconds. */
export const loggersPerTurn = 1_000

/** What a live tail may ask of an application unless it says otherwise: records a second, and minutes at one go. */
export const onDemandRateMax = 10_000
export const onDemandMinutesMax = 60

/** Between two lines on stderr about what is logged on demand: tails may come and go. */
export const demandWordsEveryMs = 2_000

/** Lines kept of one request until it is known how it ends, and of all of them together, unless told otherwise. */
export const crossedKeepRecords = 200
export const crossedKeepBytes = 2_097_152
/** Requests whose lines are kept at one time. */
export const crossedScopesMax = 10_000

/** How far into a line its level is looked for when pino does not tell. pino writes it first. */
export const levelScanChars = 512

/** MessagePack nesting a decoder builds. Deeper than any record people write. */
export const decodeDepthMax = 32

/**
 * MessagePack values a decoder builds from one frame: 512 records of 64 values. As many empty maps, the dearest of them,
 * take about 30 ms on a slow core; three times as many held the event loop for 100 ms.
 */
export const decodeElementsMax = 32_768

/** The same for a control message: 256 acknowledgements and 256 requests are 1,800 values. It is read inside the application. */
export const controlElementsMax = 4_096

/** TCP's keep-alive, and how long it sends again what nobody confirms: a peer that vanished without a word is noticed within 15 s. */
export const tcpKeepAlive: { readonly idleSeconds: number; readonly everySeconds: number; readonly probes: number } = {
  idleSeconds: 5,
  everySeconds: 5,
  probes: 2,
}
export const tcpRetransmitMs = 15_000

/** A connection that has not finished its greeting in this time is dropped. */
export const handshakeMs = 5_000

/** Reconnect distance: quick at first, then patient. */
export const reconnectFirstMs = 100
export const reconnectMaxMs = 2_000

/**
 * Frames waiting in the collector's socket per connection, before the pressure reaches the agents. As many as an agent
 * keeps on its side: with 64, a hundred busy agents of 64 KiB frames could have 400 MiB waiting; with 16 it is 100.
 */
export const ingestHighWaterMarkFrames = 16

/** Bytes a sink may hold that are not written yet. Above it the collector refuses frames, which agents keep and send again. */
export const sinkPendingBytesMax = 16_777_216

/**
 * Above this the collector takes the next frame only when some of it is written, or after `crowdedPauseMs`: the
 * pressure reaches the agents' rings through ZeroMQ, which loses nothing, and memory that is still in the processor's
 * cache is used again. It never stops for good: a socket nobody reads has no subscriptions.
 */
export const sinkCrowdedBytes = 4_194_304
/** A sink that has been done with nothing for so long hangs: what is received does not wait for it. A slow disk's write takes less. */
export const sinkStalledMs = 1_000
export const crowdedPauseMs = 50

/** Files the file sink holds open. The least recently written one is closed first. */
export const openFilesMax = 128

/** Files one file sink begins in one period, of however many names: beyond it, lines of further names share one. A file takes an inode and a kilobyte here. */
export const distinctFilesMax = 10_000

/** Of them, files that were rotated and are being synced. More wait for each other: the disk does not keep up. */
export const closingFilesMax = 4

/** Files nothing is written to any more are looked after this often, and whenever one was rotated. */
export const upkeepEveryMs = 5_000

/** A file sink writes when this much waits, or after `sinkFlushMs`. Large writes are what makes it fast. */
export const sinkWriteBytes = 524_288
export const sinkFlushMs = 20

/**
 * The same in an application that tails connect to directly: with frames of 64 KiB, 4 MiB of the application's memory for
 * tails that have stopped, however many: they share the frames.
 */
export const boundHighWaterMarkFrames = 64

/** An address an application cannot bind is tried again after this: its last process may still be ending. */
export const bindRetryMs = 2_000

/** One live tail's queue in the collector, in frames. Beyond it that tail misses records and counts them. */
export const tailHighWaterMarkFrames = 1_000

/** Prefixes of all tails together that are forwarded; each goes to every agent. */
export const tailPrefixesMax = 1_000

/** Subscriptions of all tails together that a publisher looks at. Beyond it, it hands frames to ZeroMQ, which knows who wants them. */
export const tailSubscriptionsMax = 16_384

/**
 * A tail that asks for records gives a sign of life this often, and a collector tells its agents as often that somebody
 * asks. After `demandLeaseMs` without one nobody does: with the ticks between, debug is off within two seconds.
 */
export const demandRenewMs = 250
export const demandLeaseMs = 1_400
/** The most that counts as silence between two looks: longer, it was the listener that was held up. */
export const demandTickMaxMs = 200

/** The collector's end drains for at most this long. */
export const drainMaxMs = 5_000

/** The collector's last acknowledgements and frames may stay this long in a socket that is being closed. */
export const lastWordsMs = 500

/**
 * One file of the spool: large enough that beginning one costs nothing, small enough that deleting the oldest gives
 * room in steps. A smaller spool has at least eight.
 */
export const spoolSegmentBytes: { readonly min: number; readonly max: number } = { min: 1_048_576, max: 67_108_864 }
/** Files of segments that are done with, kept to be written over: as many as are given up at a time at full speed. */
export const spoolSparesMax = 3
export const spoolSegmentsMin = 8

/** The spool's size unless told otherwise: half an hour at 0.5 MB/s with a sink that is away. */
export const spoolBytesMaxDefault = 1_073_741_824
export const spoolBytesMaxMin = 8_388_608

/** Read from the spool at one time. */
export const spoolReadBytes = 1_048_576

/** A spool that cannot be written is tried again after this, then ever later. */
export const spoolRetryMs: { readonly first: number; readonly max: number } = { first: 250, max: 5_000 }

/** What waits to be written into the spool. Above it the collector refuses frames: the disk has stopped answering. */
export const spoolPendingBytesMax = 33_554_432

/** What waits in memory for one sink. Beyond it the sink reads from the spool when it comes to it. */
export const sinkQueueBytesMax = 16_777_216

/** How often it is written down how far a sink has come. A collector that was killed reads this much again. */
export const checkpointEveryMs = 1_000

/** Done segments are kept until there is this much of them: by then the kernel has written the files, and syncing them is cheap. */
export const spoolReleaseBytes = 134_217_728

/** A sink's disk that has not synced its files after this hangs: what is done stays in the spool, and nobody else waits. */
export const sinkSyncMaxMs = 2_000

/** The spool is synced, and what it holds acknowledged, this often while records arrive. */
export const spoolSyncEveryMs = 200
/** Longer, and an agent's ring of 8 MiB is full of what waits to be acknowledged. */
export const spoolSyncEveryMsMax = 10_000

/** The spool writes when this much waits, or after `spoolWriteMs`: a write costs tens of microseconds however small it is. */
export const spoolWriteBytes = 1_048_576
export const spoolWriteMs = 5

/** Blocks kept for use again: what is on its way to the spool and the sinks at full speed. */
export const spoolBlocksMax = 16

/** Records asked of one origin and not answered yet: two seconds of what an agent re-sends at 240 bytes each. */
export const repairCreditRecords = 32_768

/**
 * When at least `recordsMin` records were asked of an origin within `windowMs` and less than `yieldMin` of them came,
 * nothing is asked of it for `openMs`; a hole that has been waiting for `heldMs` then is given up.
 */
export const repairBreaker: {
  readonly windowMs: number
  readonly recordsMin: number
  readonly yieldMin: number
  readonly openMs: number
  readonly heldMs: number
} = { windowMs: 30_000, recordsMin: 100_000, yieldMin: 0.5, openMs: 30_000, heldMs: 60_000 }
/** Between asking a collector for its status and the last byte of the answer. */
export const statusWaitMs = 10_000

/** An answer longer than this is none: 20,000 topics with hostile names and every loss are 20 MiB. */
export const statusBytesMax = 33_554_432

/** Last words that are repeated for live tails: those of ten thousand applications of a few topics. */
export const farewellBytesMax = 8_388_608
/** Blocks in use, of one MiB each. Beyond it entries get memory of their own. */
export const spoolBlocksOutMax = 48

/** An expression's text, in characters: a list of some hundred order numbers fits. */
export const expressionCharsMax = 8_192
/** Nodes of an expression's tree, and how deep it may be. What a person writes has tens of nodes and a depth below ten. */
export const expressionNodesMax = 2_000
export const expressionDepthMax = 100

/**
 * Steps one expression may take for one record: a step is a node, an element of a list that is looked at, or some tens of
 * characters of a text. A record needs tens; this many take 2 to 30 ms, and such a record is counted.
 */
export const expressionStepsMax = 100_000

/** Longest text an expression may put together. */
export const expressionTextCharsMax = 1_048_576

/** Instructions of all regular expressions of one expression together: time is instructions times characters. */
export const regularExpressionSizeMax = 1_000

/** Buckets of one sign in an exponential histogram. With 160, values over three decimal orders of magnitude are known to 2.2 %. */
export const histogramBucketsMax = 160

/** How many values one may stand for: a count then stays a whole number for 2^33 of them, which no interval has. */
export const recordWeightMax = 1_000_000

/** Resolution of exponential histograms: Prometheus's native ones have these ends, and -4 covers every double with 132 buckets. */
export const histogramScale: { readonly min: number; readonly max: number } = { min: -4, max: 8 }

/** Scales that are read from the wire; OpenTelemetry's own bounds. */
export const histogramWireScale: { readonly min: number; readonly max: number } = { min: -10, max: 20 }

/** An instrument's name, unit and description. The first two are OpenTelemetry's bounds. */
export const instrumentNameCharsMax = 255
export const instrumentUnitCharsMax = 63
export const instrumentDescriptionCharsMax = 1_024

/** The attributes of a series as text. With the largest histogram a point stays far below a frame's 64 KiB. */
export const attributesBytesMax = 4_096

/** Instruments in one frame of points. Each takes seven bytes at least; a service of that many has them in many groups. */
export const frameInstrumentsMax = 4_096

/** Attributes of one series, and characters of a key or a text value. More is a document, not a name for a series. */
export const attributesMax = 32
export const attributeCharsMax = 256

/** Between two sendings of metrics. */
export const metricIntervalMs: { readonly default: number; readonly min: number; readonly max: number } = {
  default: 10_000,
  min: 100,
  max: 3_600_000,
}

/** Series of one instrument unless told otherwise, and at most: a histogram's series can take 4 KiB. */
export const seriesMaxDefault = 1_000
export const seriesMaxMax = 100_000

/** Instruments of one agent. A program that makes one per user has misunderstood attributes. */
export const instrumentsMax = 2_000

/** A series nobody holds and nothing comes for is given up after so many intervals: five minutes of 10 s. */
export const idleIntervalsMax = 30

/** Metrics are encoded for this long at a time, then the application's own work goes on. */
export const encodeSliceMs = 1

/** Those who feed metrics may take so long at the end of an interval, and half of it: what they find later goes with the next. */
export const prepareMaxMs = 1_000

/** Warnings about metrics on stderr, of one agent. */
export const metricWarningsMax = 20

/** A window of the roll-up, and how long after its end it takes points: what is repaired comes within 8 s, a clock may be off by some more. */
export const rollupIntervalMs: { readonly default: number; readonly min: number; readonly max: number } = {
  default: 10_000,
  min: 1_000,
  max: 3_600_000,
}
export const rollupLateMs = 30_000
/** Windows that may be open at one time; each costs a series as much as it costs without windows. */
export const rollupOpenWindowsMax = 60

/** Series in the roll-up: at 1 to 15 KiB each, see docs/METRICS.md, 10,000 are 10 to 150 MiB. */
export const rollupSeriesMax: { readonly default: number; readonly max: number } = { default: 10_000, max: 1_000_000 }

/** Instruments in the roll-up, each of which may have an overflow series beside: a hundred services with a hundred each. */
export const rollupInstrumentsMax = 10_000

/** A series nothing came for is forgotten after this. A counter that comes back begins at 0, which Prometheus takes for a restart. */
export const rollupSeriesIdleMs = 3_600_000

/** Latest values of gauges and up-down counters, one per process, series and open window; ten processes, five windows. */
export const rollupValuesPerSeries = 50

/** An up-down counter's value counts this long unless its process says it again; as long as Prometheus believes a sample. */
export const rollupValueAgeMs = 300_000

/** What is kept of a text that a rule for log lines makes an attribute. */
export const logMetricTextCharsMax = 256

/** Rules for log lines: each may look at every line. */
export const logMetricsMax = 100

/** Closed windows that can be asked for: five minutes of ten seconds. */
export const rollupWindowsKept = 30

/** Bounds of one histogram under `/metrics`. 64 of them cover 16 powers of two at 19 % each, or 64 at 100 %. */
export const exposedBucketsMax = 64

/** Lines of the applications' metrics in one answer of `/metrics`: at most 13 MiB of text, 120 ms, made at one go beside the intake. */
export const exposedSamplesMax = 100_000

/** Series of windows in one answer of `/windows.json`: about 5 MiB, made at one go too. */
export const windowSeriesShownMax = 20_000

/** Metrics of applications that `spillway top` reads for their event loops' delay: a thousand processes with all their metrics. */
export const topMetricsBytesMax = 8_388_608
/** As often as applications tell them. */
export const topMetricsEveryMs = 10_000

/** What stands behind the `?` of a request: the longest condition, with every character written as three. */
export const apiQueryCharsMax = 32_768
export const apiQueryValuesMax = 100

/** Pages that are told what happens, at one time: a team, with several pages each. */
export const eventStreamsMax = 64
/** A proxy takes a connection without a byte for dead after 30 s or more. */
export const eventHeartbeatMs = 10_000
/** What a page leaves unread in its socket before it is sent nothing more: two of the largest messages. */
export const eventStreamUnreadBytesMax = 262_144

/** Between two computations of what pages show. It is one for all of them. */
export const pulseEveryMs = 1_000
/** A computation takes this share of the time at most; with ten thousand processes it comes less often. */
export const pulseShareMax = 0.1
/** The rates a page begins with: five minutes. */
export const rateHistorySteps = 60
export const rateHistoryStepMs = 5_000

/** What waits to be filtered for one live page. Beyond it the page skips records, and is told how many. */
export const livePageBytesMax = 1_048_576
export const livePageRecordsMax = 5_000
/** Records of one message to a live page, and the distance between two. */
export const liveMessageRecordsMax = 500
export const liveEveryMs = 50
/** Of each `liveEveryMs`, filtering for all live pages together takes so much: a fifth of a core. */
export const liveFilterMs = 10
/** Characters of one message to a live page, beside its last record. */
export const liveMessageBytesMax = 131_072
/** Topics, services and texts one request may name. */
export const apiFilterValuesMax = 20

/** Records of one answer from the files, and how many there are when nothing is said: a screenful many times over. */
export const historyRecordsMax = 1_000_000
export const historyRecordsDefault = 500
/** Who may read the files at one time; each has a thread of its own. */
export const historyReadersMax = 4
/** How long an answer waits for the files to hold what has been received, and for a tail's subscriptions: a busy machine's worst. */
export const historyWaitMs = 10_000

/** A browser that was let in stays so for a week. */
export const sessionMs = 604_800_000
export const sessionBodyBytesMax = 4_096
/** A token that is shorter could be guessed. */
export const authTokenChars: { readonly min: number; readonly max: number } = { min: 16, max: 1_024 }

/**
 * Kept metrics: stretches of 10 s for six hours and of a minute for a week. Of a series with a value in each of them a counter
 * takes up to 12 bytes for each stretch, 150 KB in all; a gauge 47 bytes, 580 KB; a histogram of 30 buckets 90 bytes, 1.1 MB.
 */
export const keptTiers: readonly {
  readonly name: '10s' | '1m'
  readonly stepMs: number
  readonly keepMs: number
  readonly segmentMs: number
}[] = [
  { name: '10s', stepMs: 10_000, keepMs: 21_600_000, segmentMs: 3_600_000 },
  { name: '1m', stepMs: 60_000, keepMs: 604_800_000, segmentMs: 43_200_000 },
]
/** Series kept in one file, and bytes of all files, unless told otherwise. */
export const keptSeriesMax: { readonly default: number; readonly max: number } = { default: 2_000, max: 100_000 }
export const keptBytesMax: { readonly default: number; readonly min: number } = { default: 536_870_912, min: 8_388_608 }
/** Attributes of a series that are longer are not kept: the names of all files stay in memory. */
export const keptAttributesCharsMax = 1_024
/** One record: a slot of a hundred thousand series is 9 MiB. */
export const keptRecordBytesMax = 67_108_864
/** What waits to be written. Beyond it, slots are given up: the disk has stopped answering. */
export const keptPendingBytesMax = 33_554_432
/** Points of one answer of `/series` and `/heatmap`, series of one, and answers that are made at one time. */
export const seriesPointsMax = 2_000
export const seriesAnsweredMax = 100
export const seriesAnswersMax = 4
/** Metrics of one list, and values told of one attribute. */
export const metricsListedMax = 1_000
export const attributeValuesListedMax = 50
/** Columns of a heat map are as many as points; rows are at most: */
export const heatmapRowsMax = 64
