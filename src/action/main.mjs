// The step itself: Nix, the hook, the uploader.

import { run } from "./bootstrap.mjs";

run("setup");
