/** STUN and TURN servers: what asking them came to, and what that means. Verdicts only; `probe.ts` asks. */

import { formatRtt } from "../model/format.ts";
import { type Finding, failed, passed, skipped, warned } from "./finding.ts";

/** One URL of the servers that the hub gave (RFC 7064, RFC 7065), with what it needs. */
export interface Server {
  readonly url: string;
  /** How it is reached; undefined for a STUN server. */
  readonly transport: "udp" | "tcp" | "tls" | undefined;
  readonly config: RTCIceServer;
}

/** Take the servers apart, each URL once; what is not understood, and STUN behind TLS, is left out. */
export function apart(servers: readonly RTCIceServer[]): Server[] {
  const found = new Map<string, Server>();
  for (const { urls, ...rest } of servers) {
    for (const url of typeof urls === "string" ? [urls] : urls) {
      const [, scheme, wanted] = /^(stun|turns?):[^?]+(?:\?transport=(udp|tcp))?$/i.exec(url) ?? [];
      if (scheme === undefined) {
        continue;
      }
      const kind = scheme.toLowerCase();
      const transport =
        kind === "stun"
          ? undefined
          : kind === "turns"
            ? "tls"
            : wanted?.toLowerCase() === "tcp"
              ? "tcp"
              : "udp";
      found.set(url, { url, transport, config: { urls: url, ...rest } });
    }
  }
  return [...found.values()];
}

/** A local candidate, as gathering told it. */
export interface Found {
  readonly type: string;
  readonly address: string;
  readonly port: number;
  /** The same for all candidates of one kind from one address of this machine (RFC 8445, section 5.1.1.3). */
  readonly foundation: string;
}

/** What gathering with all STUN servers came to. */
export interface Gathered {
  readonly candidates: readonly Found[];
  /** URLs that were asked over UDP, and those that did not answer. */
  readonly asked: readonly string[];
  readonly silent: readonly string[];
}

/** Say what kind of NAT there is (RFC 4787, section 4.1). */
export function nat({ candidates, asked, silent }: Gathered, relayed: boolean): Finding {
  const outside = candidates.filter(({ type, address }) => type === "srflx" && !address.includes(":"));
  const answered = new Set(asked).size - new Set(silent).size;
  if (asked.length === 0) {
    return skipped("NAT", "the hub gives no STUN server to ask");
  }
  const shown = [...new Set(outside.map(({ address }) => address))].join(", ");
  const ports = new Map<string, Set<string>>();
  for (const { foundation, address, port } of outside) {
    const known = ports.get(foundation) ?? new Set();
    ports.set(foundation, known.add(`${address} ${port}`));
  }
  if ([...ports.values()].some((each) => each.size > 1)) {
    return warned(
      "NAT",
      `symmetric: outside it is another port for each far end (${shown})`,
      relayed
        ? "Connections to strict networks are relayed. IPv6, or a port forward of UDP in the router, makes direct ones possible."
        : "Connections to strict networks do not come about: give the hub a TURN server, or switch its own on.",
    );
  }
  if (outside.length === 0) {
    return answered > 0
      ? passed("NAT", "none: what this device has is its address outside")
      : skipped("NAT", "no STUN server answered over UDP, so it is not known");
  }
  return answered > 1
    ? passed(
        "NAT",
        `cone: outside it is ${shown} for every far end; direct connections work to most networks`,
      )
    : skipped("NAT", `there is one, outside as ${shown}; one server alone cannot tell which kind`);
}

/** Say whether UDP gets to the servers. */
export function udp({ asked, silent }: Gathered, relayed: boolean): Finding {
  const dead = [...new Set(silent)];
  const all = new Set(asked).size;
  if (all === 0) {
    return skipped("UDP", "the hub gives no STUN server to ask");
  }
  if (dead.length === 0) {
    return passed("UDP", all === 1 ? "the STUN server answers" : `all ${all} STUN servers answer`);
  }
  if (dead.length < all) {
    return warned(
      "UDP",
      `no answer from ${dead.join(", ")}`,
      "The server is down or its address wrong; others answer.",
    );
  }
  const advice =
    "A firewall here lets no UDP out, or the servers are down. Let UDP out for the shortest way, and have TURN by TCP or TLS for the rest.";
  return relayed
    ? warned("UDP", "no STUN server answers", advice)
    : failed("UDP", "no STUN server answers", advice);
}

/** What one TURN server came to. */
export interface Relayed {
  readonly url: string;
  readonly transport: "udp" | "tcp" | "tls";
  /** A relay was given. */
  readonly allocated: boolean;
  /** To the server and back, in ms; undefined where nothing passed. */
  readonly roundTrip: number | undefined;
  /** The server's error, or 701 where it was not reached; 0 where nothing was told. */
  readonly code: number;
  readonly why: string;
}

export function turn(tried: readonly Relayed[]): Finding[] {
  if (tried.length === 0) {
    return [
      warned(
        "TURN",
        "the hub gives no TURN server",
        "Without one, calls between strict networks do not come about: switch the hub's own on, or name another.",
      ),
    ];
  }
  const works = tried.some(({ roundTrip }) => roundTrip !== undefined);
  const tell = works ? warned : failed;
  return tried.map(({ url, transport, allocated, roundTrip, code, why }) => {
    const name = `TURN by ${transport.toUpperCase()}`;
    if (roundTrip !== undefined) {
      return passed(name, `${formatRtt(roundTrip)} there and back through ${url}`);
    }
    if (allocated) {
      return tell(
        name,
        `${url} gives relays, and nothing passes between two of them`,
        "Let UDP through to its relay ports, and set the address under which the world sees it.",
      );
    }
    if (code !== 0 && code !== 701) {
      return tell(
        name,
        `${url} gives no relay: ${code} ${why}`.trimEnd(),
        code === 486 || code === 508
          ? "Its quota or its ports are used up."
          : "Its secret, realm or clock differs from the hub's.",
      );
    }
    return tell(
      name,
      `${url} cannot be reached`,
      `The server is down or its address wrong, or a firewall here lets no ${transport.toUpperCase()} out to its port.${
        transport === "tls" ? " Or its certificate is not trusted here." : ""
      }`,
    );
  });
}

/** Say whether addresses are hidden behind names, as browsers do until a page may use a microphone or camera. */
export function mdns({ candidates }: Gathered): Finding {
  const hosts = candidates.filter(({ type }) => type === "host");
  if (hosts.length === 0) {
    return warned(
      "Own network",
      "this browser tells no address of its own network",
      "An add-on or a policy hides them: devices next to you are reached by a detour.",
    );
  }
  return hosts.every(({ address }) => address.endsWith(".local"))
    ? passed("Own network", "addresses are hidden behind .local names, which devices find by multicast DNS")
    : passed("Own network", "addresses are told as they are");
}

export function ipv6({ candidates }: Gathered): Finding {
  const known = candidates.filter(({ address }) => address !== "" && !address.endsWith(".local"));
  if (known.some(({ address }) => address.includes(":"))) {
    return passed("IPv6", "this device has an address of it");
  }
  return known.length === 0
    ? skipped("IPv6", "the browser hides its addresses, and no server was reached over it")
    : warned(
        "IPv6",
        "no address of it was found",
        "Switch IPv6 on in the router: between two networks that have it, no NAT is in the way.",
      );
}
