import { useEffect, useState } from "preact/hooks";

/** Return what `load` brings; undefined until then. `load` must keep its identity. */
export function useLazy<T>(load: () => Promise<T>): T | undefined {
  const [value, setValue] = useState<T>();
  useEffect(() => {
    let wanted = true;
    // A chunk that cannot be fetched (the hub is away) is fetched again when the component is shown anew.
    load().then(
      (loaded) => wanted && setValue(() => loaded),
      () => {},
    );
    return () => {
      wanted = false;
    };
  }, [load]);
  return value;
}
