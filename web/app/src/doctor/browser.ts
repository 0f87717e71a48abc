/** What this browser can and may do. Verdicts only; `examine.ts` asks. */

import { type Finding, failed, passed, skipped, warned } from "./finding.ts";

export function secureContext(secure: boolean, origin: string): Finding {
  return secure
    ? passed("Secure page", `${origin} may use the camera, the microphone and notifications`)
    : failed(
        "Secure page",
        `${origin} is plain http: browsers give it no camera, no microphone and no notifications`,
        "Open the page by https. The hub's page /trust says how to trust its own certificate.",
      );
}

export type Permission = "granted" | "prompt" | "denied" | "unknown";

/** `found`: how many of the kind this machine has; undefined where the browser does not say. */
export function device(
  kind: "microphone" | "camera",
  permission: Permission,
  found: number | undefined,
): Finding {
  const name = kind === "microphone" ? "Microphone" : "Camera";
  if (found === undefined) {
    return skipped(name, "cannot be asked for on a page that is not secure");
  }
  if (found === 0) {
    return skipped(name, `this machine has no ${kind}: you can listen and watch`);
  }
  switch (permission) {
    case "granted":
      return passed(name, "there, and this page may use it");
    case "denied":
      return warned(
        name,
        "this page is not allowed to use it",
        "Click the symbol beside the address, and allow it for this page.",
      );
    default:
      return passed(name, "there; the browser will ask when it is first needed");
  }
}

/** Codecs that a device may send, by their MIME type, and which of them a viewer must have. */
const VIDEO = ["H264", "VP8", "VP9", "AV1", "H265"];

/** `types`: MIME types of the codecs that this browser receives (RTCRtpReceiver.getCapabilities). */
export function codecs(types: readonly string[]): Finding {
  const has = (kind: string, codec: string): boolean =>
    types.some((type) => type.toLowerCase() === `${kind}/${codec}`.toLowerCase());
  const videos = VIDEO.filter((codec) => has("video", codec));
  const sound = has("audio", "opus");
  const said = [...videos, ...(sound ? ["Opus"] : [])].join(", ") || "none";
  if (videos.length === 0 || !sound) {
    return failed(
      "Codecs",
      `this browser plays ${said}`,
      "Use a current Firefox, Chromium or Safari; WebRTC must not be switched off.",
    );
  }
  return videos.includes("H264")
    ? passed("Codecs", said)
    : warned(
        "Codecs",
        `${said}, and no H.264, which most cameras send`,
        "Firefox fetches it by itself after its first start; on Linux install the browser's codecs.",
      );
}

export function webrtc(there: boolean): Finding {
  return there
    ? passed("WebRTC", "this browser has it")
    : failed(
        "WebRTC",
        "this browser has none, or it is switched off",
        "Switch it on (Firefox: media.peerconnection.enabled), or look at add-ons that switch it off.",
      );
}
