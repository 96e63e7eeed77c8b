// After the job's last step, whatever became of them: wait for the uploads, then clean up.

import { run } from "./bootstrap.mjs";

run("finish");
