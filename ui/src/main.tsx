import { render } from "preact";
import { App } from "./app";
import "./style/tokens.css";
import "./style/base.css";
import "./style/lists.css";
import "./style/charts.css";
import "./style/waterfall.css";

render(<App />, document.getElementById("app")!);
