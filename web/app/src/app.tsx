import { useEffect } from "preact/hooks";
import { House } from "./pages/house.tsx";
import { Device } from "./pages/lazy-device.tsx";
import { Doctor } from "./pages/lazy-doctor.tsx";
import { Login } from "./pages/login.tsx";
import { signalOf } from "./state/bridge.ts";
import { type View, view } from "./state/home.ts";
import { type Route, route } from "./state/route.ts";
import { Banner } from "./ui/banner.tsx";
import { Toasts } from "./ui/toasts.tsx";
import { TopBar } from "./ui/topbar.tsx";

/** What the tab is called. */
function titleFor(where: Route, current: View): string {
  if (where.page === "thing" && current.kind === "home") {
    const thing = signalOf(current.home.things).value.find(({ id }) => id === where.id);
    return thing === undefined ? "Plait" : `${thing.title} · Plait`;
  }
  return where.page === "doctor" ? "Doctor · Plait" : "Plait";
}

export function App() {
  const current = view.value;
  const title = titleFor(route.value, current);
  useEffect(() => {
    document.title = title;
  }, [title]);
  if (current.kind === "starting") {
    return null;
  }
  if (current.kind === "login") {
    return <Login problem={current.problem} />;
  }
  const where = route.value;
  return (
    <>
      <TopBar />
      <Banner />
      {where.page === "house" ? (
        <House home={current.home} />
      ) : where.page === "doctor" ? (
        <Doctor home={current.home} />
      ) : (
        <Device key={where.id} home={current.home} id={where.id} />
      )}
      <Toasts />
    </>
  );
}
