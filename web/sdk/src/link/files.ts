/**
 * Files over a link (`docs/protocol.md`, section 5): resumed at the byte where they stopped, and checked at the end.
 *
 *     await sendFile(link, input.files[0], { progress: (done, size) => … });
 *     const file = await receiveFile(link, { kept });
 *
 * A path that changes is the link's matter. After a link that was lost, another is opened by the caller and the file
 * offered again: what the far end has under its SHA-256 is not sent twice, nor what is in `kept` here.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { fromProblem, PlaitError } from "../errors.ts";
import { newId, type Problem } from "../messages.ts";
import type { Channel } from "./channel.ts";
import type { Link } from "./link.ts";

const PREFIX = "file/";
/** Below everything else: a command never waits behind a file. */
const PRIORITY = 10;
/** Bytes of a message. */
const PIECE = 64 << 10;
/** Bytes that are hashed in one go, and put away as one part of what came. */
const SLICE = 1 << 20;
const LONGEST_NAME = 200;
/** The largest file that is taken unless told otherwise. */
const LIMIT = 1 << 30;
const SHA256 = /^[0-9a-f]{64}$/;

/** Told how many bytes the far end has taken, or have come, and of how many. */
export type Progress = (done: number, size: number) => void;

export interface FileOptions {
  readonly progress?: Progress;
  /** Gives the file up: the far end is told, and the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface SendFileOptions extends FileOptions {
  /** In place of the file's own name. */
  readonly name?: string;
  /** Told how much was read to take the SHA-256, before anything is sent. */
  readonly measuring?: Progress;
}

interface Answer {
  readonly start?: number;
  readonly done?: boolean;
  readonly error?: Problem;
}

/** Taken once: a file that is offered again need not be read twice. */
const digests = new WeakMap<Blob, string>();

/**
 * Send a file, and wait until the far end has it and has checked it. Rejects with `forbidden` where the far end does
 * not want it, `file-damaged` where it is not what was read first, `invalid-value` where it cannot be read, `link-lost`
 * where the link is over: open another and send it again, and it goes on where it stopped.
 */
export async function sendFile(
  link: Link,
  file: File | Blob,
  { progress, signal, measuring, name = file instanceof File ? file.name : "file" }: SendFileOptions = {},
): Promise<void> {
  const digest = digests.get(file) ?? (await measure(file, measuring, signal));
  digests.set(file, digest);
  const channel = link.channel(PREFIX + newId(), { priority: PRIORITY });
  const aborting = abortion(signal);
  try {
    await channel.send(JSON.stringify({ name, size: file.size, sha256: digest }));
    const { start = 0 } = await aborting.or(answerOn(channel));
    if (!Number.isInteger(start) || start < 0 || start > file.size) {
      const detail = `the far end wants the file from byte ${start} on, and it has ${file.size}`;
      throw new PlaitError("invalid-message", detail);
    }
    progress?.(start, file.size);
    for (let sent = start; sent < file.size; ) {
      const piece = await read(file, sent, Math.min(file.size, sent + PIECE));
      await aborting.or(channel.send(piece));
      sent += piece.length;
      progress?.(sent - channel.buffered, file.size);
      if (channel.waiting > 0 && sent < file.size) {
        await answerOn(channel); // it says that it has enough
        throw new PlaitError("invalid-message", "the far end has the file before it was sent");
      }
    }
    channel.finish();
    await aborting.or(answerOn(channel));
    progress?.(file.size, file.size);
  } finally {
    aborting.end();
    // Before all bytes have gone, this says that no more come.
    channel.finish();
  }
}

async function measure(
  file: Blob,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = sha256.create();
  for (let at = 0; at < file.size; at += SLICE) {
    signal?.throwIfAborted();
    hash.update(await read(file, at, Math.min(file.size, at + SLICE)));
    progress?.(Math.min(file.size, at + SLICE), file.size);
  }
  return toHex(hash.digest());
}

async function read(file: Blob, from: number, to: number): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.slice(from, to).arrayBuffer());
  } catch (error) {
    // A browser says no more than this of a file that was changed, moved, or may not be read.
    throw new PlaitError("invalid-value", `The file cannot be read any more: ${(error as Error).message}`);
  }
}

async function answerOn(channel: Channel): Promise<Answer> {
  const message = await channel.receive();
  let answer: Answer | null;
  try {
    answer = JSON.parse(String(message)) as Answer | null;
  } catch {
    answer = null;
  }
  if (typeof answer !== "object" || answer === null) {
    throw new PlaitError("invalid-message", "the far end's answer cannot be read");
  }
  if (answer.error !== undefined) {
    throw fromProblem(answer.error);
  }
  return answer;
}

/** What has come of files that are not whole yet, by their SHA-256: give the same to each `receiveFile`. */
export class Kept {
  readonly #parts = new Map<string, Part>();

  /** @internal */
  of(digest: string): Part {
    const known = this.#parts.get(digest) ?? new Part();
    this.#parts.set(digest, known);
    return known;
  }

  /** Forget what has come of a file. */
  forget(digest: string): void {
    this.#parts.delete(digest);
  }
}

/** What has come of one file. Whole slices are blobs, which a browser may put on the disk. */
class Part {
  #hash = sha256.create();
  readonly #slices: Blob[] = [];
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #fresh = 0;
  size = 0;

  add(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.#pieces.push(piece as Uint8Array<ArrayBuffer>);
    this.size += piece.length;
    this.#fresh += piece.length;
    if (this.#fresh >= SLICE) {
      this.#slices.push(new Blob(this.#pieces));
      this.#pieces = [];
      this.#fresh = 0;
    }
  }

  /** The SHA-256 of it; nothing is added after this. */
  digest(): string {
    return toHex(this.#hash.digest());
  }

  file(name: string): File {
    return new File([...this.#slices, ...this.#pieces], name, { type: "application/octet-stream" });
  }
}

export interface ReceiveFileOptions extends FileOptions {
  /** The largest that is taken, in bytes; 1 GiB unless told otherwise. */
  readonly limit?: number;
  readonly kept?: Kept;
}

/** A file that the far end offers. */
export class OfferedFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
  readonly #link: Link;
  readonly #channel: Channel;

  constructor(link: Link, channel: Channel, { name, size, sha256: digest }: Offer) {
    this.#link = link;
    this.#channel = channel;
    this.name = name;
    this.size = size;
    this.sha256 = digest;
  }

  /** Say that it is not wanted. */
  refuse(reason: string): void {
    refuse(this.#channel, new PlaitError("forbidden", reason));
  }

  /**
   * Take it. Rejects with `file-damaged` where what came is not what was offered, or not all of it did;
   * `invalid-message` where more came; `forbidden` where it is over the limit; `link-lost` where the link is over.
   */
  async receive({
    progress,
    signal,
    limit = LIMIT,
    kept = new Kept(),
  }: ReceiveFileOptions = {}): Promise<File> {
    const aborting = abortion(signal);
    try {
      if (this.size > limit) {
        const detail = `${this.name} has ${this.size} bytes; at most ${limit} are taken`;
        throw new PlaitError("forbidden", detail);
      }
      const part = kept.of(this.sha256);
      await this.#fill(part, aborting, progress);
      kept.forget(this.sha256);
      if (part.digest() !== this.sha256) {
        const detail = `the SHA-256 of ${this.name} is not the one that was offered`;
        throw new PlaitError("file-damaged", detail);
      }
      progress?.(this.size, this.size);
      this.#channel.sendNow(JSON.stringify({ done: true }));
      this.#channel.finish();
      return part.file(this.name);
    } catch (error) {
      const known = error instanceof PlaitError;
      refuse(this.#channel, known ? error : new PlaitError("forbidden", "it is not wanted any more"));
      throw error;
    } finally {
      aborting.end();
    }
  }

  async #fill(part: Part, aborting: Abortion, progress: Progress | undefined): Promise<void> {
    this.#channel.sendNow(JSON.stringify({ start: part.size }));
    progress?.(part.size, this.size);
    while (part.size < this.size) {
      const piece = await aborting.or(this.#next(part));
      if (typeof piece === "string" || part.size + piece.length > this.size) {
        throw new PlaitError("invalid-message", "something else than the offered bytes came");
      }
      part.add(piece);
      progress?.(part.size, this.size);
    }
  }

  async #next(part: Part): Promise<string | Uint8Array> {
    try {
      return await this.#channel.receive();
    } catch (error) {
      this.#link.check();
      if ((error as PlaitError).code !== "link-lost") {
        throw error;
      }
      const detail = `the far end gave ${this.name} up after ${part.size} of ${this.size} bytes`;
      throw new PlaitError("file-damaged", detail);
    }
  }
}

interface Offer {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** Wait for a file that the far end offers; what it offers wrongly is refused. Rejects when the link is over. */
export async function offeredFile(link: Link): Promise<OfferedFile> {
  while (true) {
    const channel = await link.accept(PREFIX);
    try {
      return new OfferedFile(link, channel, readOffer(await channel.receive()));
    } catch (error) {
      link.check();
      refuse(
        channel,
        error instanceof PlaitError ? error : new PlaitError("error", (error as Error).message),
      );
    }
  }
}

/** Wait for a file of the far end, and return it; rejects as `OfferedFile.receive`. */
export async function receiveFile(link: Link, options: ReceiveFileOptions = {}): Promise<File> {
  return (await offeredFile(link)).receive(options);
}

function readOffer(message: string | Uint8Array): Offer {
  let offer: Partial<Offer> | null;
  try {
    offer = JSON.parse(String(message)) as Partial<Offer> | null;
  } catch {
    offer = null;
  }
  const { name, size, sha256: digest } = offer ?? {};
  if (
    typeof name !== "string" ||
    !Number.isSafeInteger(size) ||
    (size ?? -1) < 0 ||
    !SHA256.test(digest ?? "")
  ) {
    throw new PlaitError("invalid-message", "the offer of a file has no name, size or SHA-256");
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a name may not have
  if (/^\.|[/\\\u0000]|^$/.test(name) || new TextEncoder().encode(name).length > LONGEST_NAME) {
    throw new PlaitError("forbidden", `${JSON.stringify(name.slice(0, 100))} is no name for a file here`);
  }
  return { name, size: size as number, sha256: digest as string };
}

/** Say why a file is not taken, and let what still comes fall. */
function refuse(channel: Channel, error: PlaitError): void {
  channel.onMessage = () => {};
  try {
    channel.sendNow(JSON.stringify({ error: error.problem() }));
    channel.finish();
  } catch {
    // There is nobody to tell any more.
  }
}

interface Abortion {
  /** Wait for this, unless the signal comes first. */
  or<T>(work: Promise<T>): Promise<T>;
  end(): void;
}

function abortion(signal: AbortSignal | undefined): Abortion {
  if (signal === undefined) {
    return { or: (work) => work, end: () => {} };
  }
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
  });
  aborted.catch(() => {});
  signal.addEventListener("abort", abort);
  if (signal.aborted) {
    abort();
  }
  return {
    or: (work) => Promise.race([work, aborted]),
    end: () => signal.removeEventListener("abort", abort),
  };
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
