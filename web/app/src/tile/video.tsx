import type { CallState, Thing } from "@plait/sdk";
import { type IconNode, LoaderCircle, Maximize, RotateCw, VideoOff, Volume2, VolumeX } from "lucide";
import { useEffect, useRef, useState } from "preact/hooks";
import { signalOf } from "../state/bridge.ts";
import { type SharedCall, useCall } from "../state/calls.ts";
import { Icon } from "../ui/icon.tsx";
import { PathBadge } from "../ui/path-badge.tsx";
import { PicturesBadge, Still } from "./still.tsx";

interface Cover {
  readonly icon: IconNode;
  readonly title: string;
  readonly detail?: string;
  readonly retry?: boolean;
}

function coverFor(state: CallState, online: boolean, seen: boolean, flowing: boolean): Cover | undefined {
  if (state.phase === "connected" && seen && (online || flowing)) {
    // Flowing: also while the hub, which was restarted, does not know yet that the camera is there.
    return undefined;
  }
  if (!online) {
    return { icon: VideoOff, title: "The camera is offline", detail: "Its picture comes back by itself." };
  }
  switch (state.phase) {
    case "opening":
      return { icon: LoaderCircle, title: "Calling the camera" };
    case "connecting":
      return { icon: LoaderCircle, title: "Looking for the best path" };
    case "connected":
      return seen ? undefined : { icon: LoaderCircle, title: "Waiting for the first picture" };
    case "broken":
      return {
        icon: VideoOff,
        title: "The picture was lost",
        detail: state.error?.message ?? "",
        retry: true,
      };
    case "closed":
      return state.error === undefined
        ? undefined
        : { icon: VideoOff, title: state.error.title, detail: state.error.message };
  }
}

/** The live picture, with the path it takes on top of it. */
export function LiveVideo({ thing }: { thing: Thing }) {
  const shared = useCall(thing);
  return (
    <div class="video-frame">
      {shared === undefined ? <div class="video-cover" /> : <Picture thing={thing} shared={shared} />}
    </div>
  );
}

function Picture({ thing, shared }: { thing: Thing; shared: SharedCall }) {
  const { call } = shared;
  const frame = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [seen, setSeen] = useState(false);
  const [muted, setMuted] = useState(true);
  const state = signalOf(call.state).value;
  const online = signalOf(thing.presence).value.state === "online";
  const flowing = signalOf(call.flowing).value;
  const still = signalOf(call.pictures.last).value;
  const cover = still === undefined ? coverFor(state, online, seen, flowing) : undefined;
  const hasSound = call.stream.getAudioTracks().length > 0;

  useEffect(() => {
    const element = video.current;
    if (element === null) {
      return;
    }
    element.srcObject = call.stream;
    return () => {
      element.srcObject = null;
    };
  }, [call]);

  return (
    <div class="video-inner" ref={frame} data-phase={state.phase}>
      <video
        ref={video}
        autoplay
        playsinline
        muted={muted}
        data-testid="video"
        data-covered={cover !== undefined || undefined}
        hidden={still !== undefined}
        aria-label={`Live picture of ${thing.title}`}
        onLoadedData={() => setSeen(true)}
        onEmptied={() => setSeen(false)}
      />
      {still !== undefined && <Still picture={still} title={thing.title} />}
      {cover !== undefined && (
        <div class="video-cover" role="status" data-testid="video-cover">
          <span class={cover.icon === LoaderCircle ? "spin" : ""}>
            <Icon node={cover.icon} size={28} />
          </span>
          <strong>{cover.title}</strong>
          {cover.detail && <span>{cover.detail}</span>}
          {cover.retry && (
            <button type="button" class="button on-video" onClick={() => call.retry()}>
              <Icon node={RotateCw} size={16} /> Try now
            </button>
          )}
        </div>
      )}
      <div class="video-badges">
        {cover === undefined && still === undefined && (
          <span class="live-badge" data-testid="live">
            Live
          </span>
        )}
        {still === undefined ? (
          <PathBadge path={shared.path.value} />
        ) : (
          <PicturesBadge picture={still} state={state} />
        )}
      </div>
      <div class="video-buttons">
        {hasSound && (
          <button
            type="button"
            class="on-video round"
            aria-label={muted ? "Sound on" : "Sound off"}
            onClick={() => setMuted(!muted)}
          >
            <Icon node={muted ? VolumeX : Volume2} size={18} />
          </button>
        )}
        <button
          type="button"
          class="on-video round"
          aria-label="Full screen"
          onClick={() => {
            // A browser that refuses says so itself.
            frame.current?.requestFullscreen().catch(() => {});
          }}
        >
          <Icon node={Maximize} size={18} />
        </button>
      </div>
    </div>
  );
}
