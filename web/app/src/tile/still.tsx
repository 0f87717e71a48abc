/** Pictures through the hub, in place of a video that does not come; they say that they are. */

import type { CallState, Picture } from "@plait/sdk";
import { Images } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../ui/icon.tsx";

export function Still({ picture, title }: { picture: Picture; title: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let stale = false;
    createImageBitmap(picture.jpeg)
      .then((bitmap) => {
        const element = canvas.current;
        if (!stale && element !== null) {
          element.width = bitmap.width;
          element.height = bitmap.height;
          element.getContext("2d")?.drawImage(bitmap, 0, 0);
        }
        bitmap.close();
      })
      // A picture that cannot be decoded leaves the one before; the next follows soon.
      .catch(() => {});
    return () => {
      stale = true;
    };
  }, [picture]);
  return (
    <canvas
      ref={canvas}
      class="video-still"
      data-testid="still"
      role="img"
      aria-label={`Picture of ${title}, through the hub`}
    />
  );
}

function reason({ phase, error }: CallState): string {
  if (phase === "connected") {
    return "the video has stopped and is being mended";
  }
  const detail = error?.message ?? "no direct or relayed path is open yet";
  return detail.charAt(0).toLowerCase() + detail.slice(1);
}

/** "Pictures through the hub, 1.2/s, because no direct or relayed path is open yet". */
export function PicturesBadge({ picture, state }: { picture: Picture; state: CallState }) {
  const why = reason(state);
  return (
    <span class="path pictures-badge" data-testid="pictures" data-kind="hub" title={`Because ${why}`}>
      <Icon node={Images} size={13} />
      <span class="pictures-words">
        Pictures through the hub
        {picture.perSecond > 0 && (
          <>
            , <span class="pictures-rate">{picture.perSecond.toFixed(1)}/s</span>
          </>
        )}
        , because {why}
      </span>
    </span>
  );
}
