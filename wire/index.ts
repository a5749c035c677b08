export {
  type Acknowledgement,
  beaconTopic,
  byeSuffix,
  type ControlMessage,
  encodeControl,
  type RepairRequest,
  readControl,
} from './control.ts'
export {
  type BucketCounts,
  bucketIndex,
  bucketUpperBound,
  ExponentialHistogram,
  type HistogramValue,
  relativeErrorMax,
} from './exponential-histogram.ts'
export {
  type DecodedFrame,
  type DecodeResult,
  decodeFrame,
  encodeFrame,
  encodeLines,
  type FrameFault,
  type FrameHead,
  type FrameKind,
  frameKinds,
  sliceLines,
} from './frame.ts'
export { type Level, levels } from './level.ts'
export * as limits from './limits.ts'
export { type GoneRange, type Manifest, type ManifestTopic, type ManifestWho, manifestBody, readManifest } from './manifest.ts'
export { type DecodedValue, decodeValue, encodeValue, type WireMap, type WireValue } from './msgpack.ts'
export { type CompiledPatterns, compilePatterns } from './pattern.ts'
export {
  type Attributes,
  type AttributeValue,
  type BucketsPoint,
  decodeAttributes,
  decodePoints,
  encodeAttributes,
  encodePoints,
  type GaugePoint,
  type HistogramPoint,
  type InstrumentPoints,
  type NumberPoint,
  type PointsBody,
  type PointType,
  pointTypes,
} from './points.ts'
export { type Range, RangeSet } from './range-set.ts'
export { SpillwayError, type SpillwayErrorCode } from './spillway-error.ts'
export { type HolePolicy, type LossReason, lossReasons, StreamLedger } from './stream-ledger.ts'
export {
  checkTopic,
  decodeToken,
  encodeToken,
  isTopic,
  logTopic,
  metricTopic,
  otherTopic,
  parseTopic,
  sysTopic,
  type Topic,
  type TopicParts,
} from './topic.ts'
