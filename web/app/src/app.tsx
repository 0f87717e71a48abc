import { House } from "./pages/house.tsx";
import { Device } from "./pages/lazy-device.tsx";
import { Login } from "./pages/login.tsx";
import { view } from "./state/home.ts";
import { route } from "./state/route.ts";
import { Banner } from "./ui/banner.tsx";
import { Toasts } from "./ui/toasts.tsx";
import { TopBar } from "./ui/topbar.tsx";

export function App() {
  const current = view.value;
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
      ) : (
        <Device key={where.id} home={current.home} id={where.id} />
      )}
      <Toasts />
    </>
  );
}
