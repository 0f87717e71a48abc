import { render } from "preact";
import { App } from "./app.tsx";
import { start } from "./state/home.ts";
import { applyTheme } from "./state/theme.ts";
import "./styles/index.css";

applyTheme();
const root = document.getElementById("app");
if (root !== null) {
  render(<App />, root);
  void start();
}
