/** The public face of the SDK. */

export { Backoff } from "./backoff.ts";
export { Call, type CallOptions, type CallState } from "./call.ts";
export * from "./description.ts";
export { type ErrorCode, fromProblem, PlaitError } from "./errors.ts";
export { type ConnectOptions, connect, Home, type SessionEvent, type UnknownOutcome } from "./home.ts";
export type { Choice, PathName, PathState } from "./link/better.ts";
export { Channel, type Payload, Values } from "./link/channel.ts";
export * as linkCore from "./link/core/index.ts";
export {
  type FileOptions,
  Kept,
  OfferedFile,
  offeredFile,
  type Progress,
  type ReceiveFileOptions,
  receiveFile,
  type SendFileOptions,
  sendFile,
} from "./link/files.ts";
export { type ChannelOptions, Link, type Move } from "./link/link.ts";
export type { LinkOptions } from "./link/open.ts";
export { answersDirectly, wayOf } from "./link/way.ts";
export type { Json, Message, Problem } from "./messages.ts";
export { type Pairing, pair, pairings, unpair } from "./pairing.ts";
export { type MediaFigures, mediaOfStats, type Path, pathOf, type Reports } from "./path.ts";
export { type Picture, Pictures } from "./pictures.ts";
export type { RequestOptions } from "./requests.ts";
export type { ConnectionStatus, WebSocketClass, WebSocketLike } from "./socket.ts";
export {
  type Bucket,
  type HistoryOptions,
  type Presence,
  type PropertyState,
  type Reading,
  type StatisticsOptions,
  Thing,
  type ThingEvent,
} from "./thing.ts";
export { Emitter, type Unsubscribe, Watched } from "./watched.ts";
