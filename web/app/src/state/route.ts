/** Where in the page we are: the fragment, so that no server needs to know. */

import { computed, signal } from "@preact/signals";

export type Route =
  | { readonly page: "house" }
  | { readonly page: "doctor" }
  | { readonly page: "thing"; readonly id: string };

const hash = signal(location.hash);
window.addEventListener("hashchange", () => {
  hash.value = location.hash;
});

export const route = computed<Route>(() => {
  if (hash.value === "#/doctor") {
    return { page: "doctor" };
  }
  const match = /^#\/things\/(.+)$/.exec(hash.value);
  return match === null ? { page: "house" } : { page: "thing", id: decodeURIComponent(match[1] ?? "") };
});

export function linkTo(id: string): string {
  return `#/things/${encodeURIComponent(id)}`;
}
