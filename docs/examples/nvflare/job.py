"""Three sites in NVFlare's simulator, one of them listens: ``python job.py OUT [ROUNDS]``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
APP = str(HERE.parent / "flower")  # audited_app: model and data, for this process and the sites'
sys.path.insert(0, APP)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (APP, os.environ.get("PYTHONPATH"))))

from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe  # noqa: E402
from nvflare.recipe import SimEnv  # noqa: E402

from privaudit.taps.nvflare import tap  # noqa: E402

out = Path(sys.argv[1]).resolve()
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 40
config = {"nodes": 3, "rounds": rounds, "records": 12000, "lr": 0.1, "batch-size": 32}
config |= {"property": "serif", "seed": 1, "truth": str(out / "truth")}
out.mkdir(parents=True)
(out / "config.json").write_text(json.dumps(config))
recipe = FedAvgRecipe(
    name="audited",
    model={"class_path": "audited_app.task.Net", "args": {"num_classes": 36}},
    min_clients=3,
    num_rounds=rounds,
    train_script=str(HERE / "audited_site.py"),
    train_args=str(out / "config.json"),
)
rules = {"lr": config["lr"], "batch_size": config["batch-size"]}
tap(recipe, out / "tap", "site-1", rules=rules)
run = recipe.execute(SimEnv(num_clients=3, num_threads=3, workspace_root=str(out / "workspace")))
print(run.get_status())
