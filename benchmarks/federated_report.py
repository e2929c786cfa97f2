"""The tables of benchmarks/federated.py as Markdown, and whether its bars are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from harness import header, machine, row

OF_CENTRAL = 0.97
SHARES = {"affine": 0.05, "LoRA, rank 4": 0.15}
DEFAULT_SHARE = 0.05
ROUNDING = 0.005


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables of all studies, one after the other."""
    lines = [
        "# Adapters of sites that may not share their cases",
        "",
        "`make federated DATA=../shared/data`; one seed, reduced plans, CPU, no mirroring at inference. A site is"
        " evaluated on held-out cases of its own; Dice without prompts (`none`) and with points. Each row spends the"
        " same iterations: `central` as many as all sites together, `global + local` half of them on the shared part"
        " and half on each site's own, after the last round. Products of LoRA are averaged as products, then cut to"
        " their rank; `lost` is the largest share of a product's squared norm which that cut off in any round.",
        "",
        machine(),
    ]
    for name, result in results.items():
        lines += ["", f"## {name}", "", *_study(name, result)]
    return "\n".join(lines) + "\n"


def bars(name: str, result: Mapping[str, Any]) -> dict[str, bool]:
    """The bars of one study and whether each is reached."""
    dice, sites = result["dice"], list(result["cases"])

    def mean(of: str, site: str) -> float:
        return fmean(dice[of][site].values())

    both, central = (fmean(mean(of, s) for s in sites) for of in ("global + local", "central"))
    share = max(t["share"] for t in result["traffic"].values())
    limit = SHARES[name.split(", ", 1)[1]]
    return {
        "global + local at least local only at every site": all(
            mean("global + local", s) >= mean("local only", s) for s in sites
        ),
        f"global + local at least {OF_CENTRAL} of central on the mean": both
        >= OF_CENTRAL * central,
        f"a round sends at most {limit:.0%} of the weights": share <= limit,
        f"at most {DEFAULT_SHARE:.0%} on nnU-Net's default plan": result["default plan share"]
        <= DEFAULT_SHARE,
        "two runs with one seed are identical": bool(result["identical"]),
    }


def _study(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    dice, cases = result["dice"], result["cases"]
    kinds = list(next(iter(next(iter(dice.values())).values())))
    yield (
        f"{', '.join(f'{s}: {n}' for s, n in cases.items())} training cases and {result['held out']} held-out ones"
        f" each; base of {result['base iterations']} iterations; {result['rounds']} rounds of {result['iterations']}"
        " iterations a site."
    )
    yield ""
    columns = [f"{site}, {kind}" for kind in kinds for site in cases]
    yield from header("", *columns, "mean")
    for of, sites in dice.items():
        values = [sites[s][k] for k in kinds for s in cases]
        yield row(of, *(f"{v:.4f}" for v in values), f"{fmean(values):.4f}")
    yield ""
    yield from header("site", "received (kB)", "sent (kB)", "largest round / weights")
    for site, t in result["traffic"].items():
        yield row(
            site, f"{t['received'] / 1000:.1f}", f"{t['sent'] / 1000:.1f}", f"{t['share']:.2%}"
        )
    yield ""
    yield (
        f"FedAvg, {next(iter(result['traffic'].values()))['rounds']} exchanges; all weights are"
        f" {result['weight_bytes'] / 1000:.0f} kB. On nnU-Net's default plan a round sends"
        f" {result['default plan share']:.2%} of the weights. lost: {result['lost']:.4f}."
    )
    yield ""
    yield from (f"- {'yes' if good else 'NO'}: {bar}" for bar, good in bars(name, result).items())
