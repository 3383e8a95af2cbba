"""Run plans of faults against the product: `python -m bench.chaos --seeds 2`.

Exit code 1 if anything is violated. bench/README.md says what is done and judged.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.chaos.plan import Plan, make_plan
from bench.chaos.ran import Ran
from bench.chaos.run import judge
from bench.chaos.struck import KINDS, table

_HEAD = (
    "seed tickets lost_callouts kills stops crashes outages faults calls failed_calls seconds"
    " verdict"
).split()


def main() -> int:
    """Play one plan for each seed; return 1 if anything was violated."""
    asked = _arguments()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    plans = [
        make_plan(n, asked.tickets, asked.seconds, lossy=asked.lossy, lives=asked.lives)
        for n in seeds
    ]
    if asked.show_plan:
        for plan in plans:
            _say(f"seed {plan.seed}", *map(str, plan.events))
        return 0
    _say("| " + " | ".join(_HEAD).replace("_", " ") + " |", "|" + " ---: |" * len(_HEAD))
    struck: Counter[str] = Counter()
    wrong = [plan.seed for plan in plans if _play(plan, asked, struck)]
    _say("", *table(struck))
    return 1 if wrong else 0


def _play(plan: Plan, asked: argparse.Namespace, struck: Counter[str]) -> bool:
    """Play a plan, print its row, and count what struck; return whether anything was violated."""
    logs = Path(tempfile.mkdtemp(prefix=f"chaos-{plan.seed}-"))
    ran, wrong = judge(plan, logs)
    struck += ran.struck
    _say(_row(ran, wrong))
    if not wrong:
        shutil.rmtree(logs)
        return False
    without = "".join(f" --no-{name}" for name in ("lossy", "lives") if not getattr(asked, name))
    _say(
        *(f"  {one}" for one in wrong[:20]),
        f"  {len(wrong)} violations. The processes' logs are in {logs}: search them for a ticket",
        f"  Again: python -m bench.chaos --seeds 1 --first-seed {plan.seed}"
        f" --tickets {asked.tickets} --seconds {asked.seconds:g}{without}",
        "  What happens then: the same with --show-plan",
    )
    return True


def _row(ran: Ran, wrong: list[str]) -> str:
    struck = ran.struck
    cells = (
        ran.plan.seed,
        len(ran.ids),
        struck["callout missing"],
        struck["worker killed"] + struck["API killed"] + struck["API deaf"],
        struck["worker stopped"] + struck["API stopped"],
        struck["PostgreSQL crashed"],
        ran.plan.count("outage"),
        sum(struck[kind] for kind in KINDS if " of a " in kind),
        len(ran.tenant.calls),
        ran.failed_calls,
        f"{ran.seconds:.0f}",
        "WRONG" if wrong else "right",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many plans")
    parser.add_argument("--first-seed", type=int, default=1, metavar="N")
    parser.add_argument("--tickets", type=int, default=500, help="tickets of each")
    parser.add_argument("--seconds", type=float, default=45.0, help="time in which they come")
    parser.add_argument(
        "--lossy",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let callouts be lost, for reconciliation to find their tickets",
    )
    parser.add_argument(
        "--lives",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let tickets end, move and merge, and keep contacts as long as their tickets",
    )
    parser.add_argument("--show-plan", action="store_true", help="print what would happen, and end")
    return parser.parse_args()


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
