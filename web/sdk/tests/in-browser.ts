/** What tests/browser/test_link_sdk.py puts on a page: the SDK, and direct paths that can be made to swallow all. */

import { connect, type Home } from "../src/home.ts";
import { Conversation, type Outcome } from "./conversation.ts";

/** Whether data channels lose what is sent on them, as a network does that has gone. */
let swallowing = false;

class Holed extends RTCPeerConnection {
  override createDataChannel(label: string, init?: RTCDataChannelInit): RTCDataChannel {
    const channel = super.createDataChannel(label, init);
    const send = channel.send.bind(channel) as (data: ArrayBufferView<ArrayBuffer>) => void;
    channel.send = (data: unknown) => {
      if (!swallowing) {
        send(data as ArrayBufferView<ArrayBuffer>);
      }
    };
    return channel;
  }
}

let home: Home;
let thingID: string;
let talk: Conversation;
/** What the thing has told of its events. */
const events: unknown[] = [];

export const test = {
  async open(thing: string): Promise<void> {
    thingID = thing;
    home = connect({ url: location.origin });
    await home.whenReady();
    home.thing(thing).events(({ data }) => events.push(data));
    talk = new Conversation(await home.thing(thing).link({ RTCPeerConnection: Holed }));
  },
  swallow(yes: boolean): void {
    swallowing = yes;
  },
  state: () => ({
    received: talk.received,
    path: talk.link.path.value.name,
    reason: talk.link.path.value.reason,
    status: home.status.value.state,
  }),
  write: async (name: string, value: unknown) => (await home.thing(thingID).write(name, value)).value,
  invoke: (name: string, input?: unknown, timeout = 10_000) =>
    home.thing(thingID).invoke(name, input, { timeout }),
  events: () => events,
  finish: (): Promise<Outcome> => talk.finish(),
  paths: () => talk.paths,
  report: async (): Promise<unknown> => JSON.parse(String(await talk.link.channel("report").receive())),
  async close(): Promise<void> {
    await talk.link.close();
    home.close();
  },
};
