import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** How far beyond the window counts as near: what is scrolled to is ready then. */
const NEAR = "200px";

/** Whether an element is in the window, or nearly so. */
export function useInView(element: RefObject<Element | null>): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (element.current === null) {
      return;
    }
    const observer = new IntersectionObserver((entries) => setSeen(entries.at(-1)?.isIntersecting ?? false), {
      rootMargin: NEAR,
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return seen;
}
