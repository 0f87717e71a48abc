/** A thing's open links: which of them takes a request, and what the thing tells over the newest. */

import { type ActionAffordance, mayRunTwice } from "../description.ts";
import type { Message } from "../messages.ts";
import type { PropertyState } from "../thing.ts";
import type { Asking } from "./asking.ts";
import { Doubled } from "./doubled.ts";

/** First the events, so that none falls between. */
const OBSERVE = ["subscribeallevents", "observeallproperties"] as const;
const UNOBSERVE = ["unobserveallproperties", "unsubscribeallevents"] as const;

/**
 * Whether a request may pass the hub by where there is a direct path. Its journal says of an action that it was done once;
 * some may as well be done twice.
 */
function mayPassTheHub(operation: string, action: ActionAffordance | undefined): boolean {
  return operation === "invokeaction"
    ? action !== undefined && mayRunTwice(action)
    : operation === "readproperty" || operation === "writeproperty";
}

type States = Readonly<Record<string, PropertyState>>;

/** What is asked of the thing's own side. */
export interface Watcher {
  readonly id: string;
  /** Whether anybody wants to hear of its values or events. */
  watched(): boolean;
  /** Whether the hub is there, to tell what came before. */
  hubIsThere(): boolean;
  /** Takes a notification that came for the first time. */
  tell(message: Message): void;
  /** Takes values that are news. */
  catchUp(states: States): void;
}

export class Linked {
  readonly #watcher: Watcher;
  readonly #ways = new Set<Asking>();
  readonly #doubled: Doubled;
  #newest: Asking | undefined;

  constructor(watcher: Watcher) {
    this.#watcher = watcher;
    this.#doubled = new Doubled(
      (message) => watcher.tell(message),
      () => this.#newest?.over !== false,
    );
  }

  /** Take another link: there what the thing tells comes sooner, and without the hub. */
  add(way: Asking, closed: Promise<unknown>): void {
    this.#ways.add(way);
    closed.then(() => this.#ways.delete(way));
    this.#newest = way;
    this.#doubled.linked();
    // Whatever it says, it speaks for itself.
    way.onTold = (told) => this.#doubled.byLink({ ...told, thingID: this.#watcher.id });
    // While it is the hub that carries the link, what the hub tells anyway is not told twice over it.
    way.onDirect = (direct) => {
      if (way === this.#newest) {
        this.#ask(direct ? OBSERVE : UNOBSERVE);
      }
    };
    if (way.direct) {
      way.onDirect(true);
    }
  }

  /** Return the link that takes a request now; undefined where the hub is to be asked. */
  way(operation: string, action: ActionAffordance | undefined): Asking | undefined {
    return mayPassTheHub(operation, action) ? [...this.#ways].find(({ direct }) => direct) : undefined;
  }

  /** Whether values come over a link, so that what the hub knows may be older. */
  get tells(): boolean {
    return this.#newest?.over === false;
  }

  /** Take the hub's notification. */
  byHub(message: Message): void {
    this.#doubled.byHub(message);
  }

  /** Somebody wants to hear of the thing, or nobody does any more. */
  watch(wanted: boolean): void {
    this.#ask(wanted ? OBSERVE : UNOBSERVE);
  }

  #ask(operations: typeof OBSERVE | typeof UNOBSERVE): void {
    const way = this.#newest;
    const observe = operations === OBSERVE;
    if (way === undefined || way.over || (observe && !(way.direct && this.#watcher.watched()))) {
      return;
    }
    if (observe && this.#watcher.hubIsThere()) {
      this.#doubled.hold();
    }
    for (const operation of operations) {
      way.ask(operation, { thingID: this.#watcher.id }).then(
        (answer) => this.#answered(answer),
        () => {}, // an earlier release tells nothing over links: the hub does
      );
    }
  }

  #answered({ operation, timestamp, value }: Message): void {
    if (operation === "subscribeallevents") {
      this.#doubled.reported(timestamp);
    } else if (operation === "observeallproperties") {
      this.#doubled.inTurn(() => {
        const states = Object.entries((value ?? {}) as States);
        this.#watcher.catchUp(
          Object.fromEntries(states.filter(([name, state]) => this.#doubled.fresh(name, state))),
        );
      });
    }
  }
}
