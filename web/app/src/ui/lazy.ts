import { useEffect, useState } from "preact/hooks";

/** Milliseconds until a chunk that could not be fetched is asked for again: the hub is away. */
const AGAIN = 2_000;

/** Return what `load` brings; undefined until then. `load` must keep its identity. */
export function useLazy<T>(load: () => Promise<T>): T | undefined {
  const [value, setValue] = useState<T>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wanted = true;
    const fetch = (): void => {
      load().then(
        (loaded) => wanted && setValue(() => loaded),
        () => {
          timer = wanted ? setTimeout(fetch, AGAIN) : undefined;
        },
      );
    };
    fetch();
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [load]);
  return value;
}
