/**
 * A hub in memory, for the web tests and for looking at the page while it is developed. It speaks the protocol with
 * the SDK's own session at its end; it stores nothing and is never shipped.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { decode, encode } from "../sdk/src/codec.ts";
import type { ThingDescription } from "../sdk/src/description.ts";
import { PlaitError } from "../sdk/src/errors.ts";
import {
  CLOSE,
  type Message,
  newId,
  PROTOCOL,
  SESSION_OPERATIONS,
  SUBPROTOCOL_JSON,
} from "../sdk/src/messages.ts";
import { SequenceGap, Session } from "../sdk/src/session.ts";

export interface FakeThing {
  readonly description: ThingDescription;
  online: boolean;
  since: string;
  readonly values: Record<string, { value: unknown; timestamp: string }>;
  readonly history: Record<string, [string, unknown][]>;
  /** What the device makes of a wish; throws {@link PlaitError}. */
  write?: (name: string, value: unknown) => unknown | Promise<unknown>;
  invoke?: (name: string, input: unknown) => unknown | Promise<unknown>;
  /** A JPEG in base64. */
  picture?: () => string;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

interface Client {
  session: Session;
  socket: WebSocket | undefined;
  observed: Set<string>;
  subscribed: Set<string>;
  watching: boolean;
  seen: Map<string, Message>;
}

interface Stretch {
  readonly from: string;
  readonly to?: string;
  readonly buckets?: number;
}

/** Sum up what was a number, as the hub does. */
function statistics(past: readonly [string, unknown][], { from, to = now(), buckets = 300 }: Stretch) {
  const [begin, end] = [Date.parse(from), Date.parse(to)];
  const width = (end - begin) / buckets;
  const found = new Map<number, number[]>();
  for (const [time, value] of past) {
    const at = Date.parse(time);
    if (typeof value === "number" && at >= begin && at <= end) {
      const bucket = begin + Math.floor((at - begin) / width) * width;
      found.set(bucket, [...(found.get(bucket) ?? []), value]);
    }
  }
  return [...found].map(([time, values]) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return [new Date(time).toISOString(), mean, Math.min(...values), Math.max(...values), values.length];
  });
}

const now = (): string => new Date().toISOString();

export class FakeHub {
  readonly things = new Map<string, FakeThing>();
  readonly clients = new Map<string, Client>();
  /** Each message that apps sent, for tests to look at. */
  readonly received: Message[] = [];
  /** Where a signal from an app goes; by default the call is refused. */
  onSignal: (message: Message, reply: (members: Partial<Message>) => void) => void = (_message, reply) =>
    reply({ error: new PlaitError("offline", "There is no camera here").problem() });
  /** What the thing answers to who opens a link; what is told meanwhile comes before the answer. */
  onOpenLink: (message: Message) => Partial<Message> = () => {
    throw new PlaitError("unknown-operation", "There are no links here");
  };
  /** What it says that it speaks. */
  protocol: number = PROTOCOL;
  /** Messages go nowhere, as where the network has been lost. */
  mute = false;
  /** Whether this HTTP request has a valid credential. */
  authorize: (request: IncomingMessage) => boolean = () => true;
  serve: Handler = () => false;
  /** Sockets of other kinds, by path. */
  readonly doors = new Map<string, (socket: WebSocket) => void>();
  readonly #http: Server;
  readonly #ws = new WebSocketServer({ noServer: true, handleProtocols: () => SUBPROTOCOL_JSON });

  constructor() {
    this.#http = createServer((request, response) => this.#respond(request, response));
    this.#http.on("upgrade", (request, socket, head) => {
      const door = this.doors.get(request.url ?? "");
      if (door === undefined && (request.url !== "/ws" || !this.authorize(request))) {
        socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
      }
      this.#ws.handleUpgrade(request, socket, head, door ?? ((ws) => this.#greet(ws)));
    });
  }

  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#http.listen(port, "127.0.0.1", resolve));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.cut();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  /** Break every connection; sessions live on. */
  cut(): void {
    for (const client of this.clients.values()) {
      client.socket?.terminate();
    }
  }

  /** Break every connection and forget every session, as a hub that was away too long. */
  forget(): void {
    this.cut();
    this.clients.clear();
  }

  /** Send a frame as it is. */
  raw(text: string): void {
    for (const client of this.clients.values()) {
      client.socket?.send(text);
    }
  }

  add(thing: FakeThing): void {
    this.things.set(thing.description.id, thing);
    this.#tellState(thing);
  }

  setOnline(id: string, online: boolean): void {
    const thing = this.#thing(id);
    thing.online = online;
    thing.since = now();
    this.#tellState(thing);
  }

  report(id: string, name: string, value: unknown): void {
    const thing = this.#thing(id);
    const timestamp = now();
    thing.values[name] = { value, timestamp };
    const past = thing.history[name] ?? [];
    thing.history[name] = past;
    past.push([timestamp, value]);
    for (const client of this.clients.values()) {
      if (client.observed.has(id)) {
        this.#notify(client, { operation: "observeproperty", thingID: id, name, value, timestamp });
      }
    }
  }

  emit(id: string, name: string, data: unknown): void {
    for (const client of this.clients.values()) {
      if (client.subscribed.has(id)) {
        this.#notify(client, { operation: "subscribeevent", thingID: id, name, data, timestamp: now() });
      }
    }
  }

  /** Send to every app. */
  broadcast(message: Omit<Message, "messageType"> & { messageType?: Message["messageType"] }): void {
    for (const client of this.clients.values()) {
      this.#notify(client, message);
    }
  }

  #thing(id: string | undefined): FakeThing {
    const thing = this.things.get(id ?? "");
    if (thing === undefined) {
      throw new PlaitError("unknown-thing", `There is no ${id}`, { field: "/thingID" });
    }
    return thing;
  }

  #tellState(thing: FakeThing): void {
    for (const client of this.clients.values()) {
      if (client.watching) {
        const { id } = thing.description;
        const { properties: _, ...value } = this.#state(thing);
        this.#notify(client, { operation: "observethings", thingID: id, value });
      }
    }
  }

  #state({ description, online, since, values }: FakeThing) {
    return { description, presence: { state: online ? "online" : "offline", since }, properties: values };
  }

  #respond(request: IncomingMessage, response: ServerResponse): void {
    if (this.serve(request, response)) {
      return;
    }
    if (request.url === "/api/me") {
      const known = this.authorize(request);
      response.writeHead(known ? 200 : 401, { "Content-Type": "application/json" });
      response.end("{}");
      return;
    }
    response.writeHead(404).end();
  }

  #greet(socket: WebSocket): void {
    let client: Client | undefined;
    socket.on("message", (data) => {
      if (this.mute) {
        return;
      }
      const message = decode(String(data));
      this.received.push(message);
      if (client === undefined) {
        client = this.#hello(socket, message);
      } else {
        this.#receive(client, message);
      }
    });
    socket.on("close", () => {
      if (client?.socket === socket) {
        client.socket = undefined;
      }
    });
  }

  #hello(socket: WebSocket, message: Message): Client | undefined {
    const { session: id, ack } = message.input as { session?: string; ack?: number };
    const known = this.clients.get(id ?? "");
    known?.socket?.close(CLOSE.displaced);
    const client = known ?? {
      session: new Session(`s-${newId()}`),
      socket,
      observed: new Set(),
      subscribed: new Set(),
      watching: false,
      seen: new Map(),
    };
    client.socket = socket;
    this.clients.set(client.session.id, client);
    const output = {
      protocol: this.protocol,
      session: client.session.id,
      resumed: known !== undefined,
      ack: client.session.ack,
      window: 60,
      time: now(),
    };
    const { messageID = "" } = message;
    socket.send(encode({ messageType: "response", operation: "hello", correlationID: messageID, output }));
    if (known !== undefined) {
      for (const waiting of client.session.resume(ack ?? 0)) {
        socket.send(encode(waiting));
      }
    }
    return client;
  }

  #receive(client: Client, message: Message): void {
    try {
      if (!client.session.receive(message)) {
        return;
      }
    } catch (error) {
      client.socket?.close(error instanceof SequenceGap ? CLOSE.gap : 1008);
      return;
    }
    if (message.seq !== undefined && !SESSION_OPERATIONS.has(message.operation)) {
      client.session.settled(message.seq);
    }
    if (message.messageType === "request") {
      void this.#answer(client, message);
    } else if (message.messageType === "notification" && message.operation === "signal") {
      this.onSignal(message, () => {});
    }
  }

  async #answer(client: Client, message: Message): Promise<void> {
    const reply = (members: Partial<Message>): void => {
      const { operation, messageID = "" } = message;
      this.#send(client, { messageType: "response", operation, correlationID: messageID, ...members });
    };
    try {
      if (message.operation === "signal") {
        this.onSignal(message, reply);
      } else {
        reply(await this.#do(client, message));
      }
    } catch (error) {
      const problem = error instanceof PlaitError ? error : new PlaitError("error", String(error));
      reply({ error: problem.problem() });
    }
  }

  async #do(client: Client, message: Message): Promise<Partial<Message>> {
    const { operation, thingID = "", name = "" } = message;
    switch (operation) {
      case "ping":
        return { timestamp: now() };
      case "openlink":
        return this.onOpenLink(message);
      case "observethings":
        client.watching = true;
        return { value: [...this.things.values()].map((thing) => this.#state(thing)) };
      case "observeallproperties":
        client.observed.add(thingID);
        return { value: this.#thing(thingID).values };
      case "unobserveallproperties":
        client.observed.delete(thingID);
        return { output: {} };
      case "subscribeallevents":
        this.#thing(thingID);
        client.subscribed.add(thingID);
        return { output: {} };
      case "unsubscribeallevents":
        client.subscribed.delete(thingID);
        return { output: {} };
      case "readproperty":
        return this.#thing(thingID).values[name] ?? {};
      case "readhistory": {
        const { from, limit = 1000 } = message.input as { from: string; limit?: number };
        const past = this.#thing(thingID).history[name] ?? [];
        return { value: past.filter(([time]) => time >= from).slice(-limit) };
      }
      case "readstatistics":
        return { value: statistics(this.#thing(thingID).history[name] ?? [], message.input as Stretch) };
      case "writeproperty":
        return this.#write(this.#reachable(thingID), name, message.value);
      case "invokeaction":
        return { output: (await this.#reachable(thingID).invoke?.(name, message.input)) ?? null };
      case "readpicture": {
        const data = this.#reachable(thingID).picture?.();
        if (data === undefined) {
          throw new PlaitError("unknown-operation", "It sends no pictures");
        }
        return { output: { type: "image/jpeg", data }, timestamp: now() };
      }
      case "opencall":
        this.#reachable(thingID);
        return { output: { call: newId(), iceServers: [] } };
      default:
        throw new PlaitError("unknown-operation", operation);
    }
  }

  async #write(thing: FakeThing, name: string, wish: unknown): Promise<Partial<Message>> {
    const value = thing.write === undefined ? wish : await thing.write(name, wish);
    this.report(thing.description.id, name, value);
    return { value, timestamp: now() };
  }

  #reachable(id: string): FakeThing {
    const thing = this.#thing(id);
    if (!thing.online) {
      throw new PlaitError("offline", `${thing.description.title} is offline`);
    }
    return thing;
  }

  #notify(
    client: Client,
    message: Omit<Message, "messageType"> & { messageType?: Message["messageType"] },
  ): void {
    this.#send(client, { messageType: "notification", ...message });
  }

  #send(client: Client, message: Message): void {
    const numbered = client.session.send(message);
    if (client.socket?.readyState === 1) {
      client.socket.send(encode(numbered));
    }
  }
}
