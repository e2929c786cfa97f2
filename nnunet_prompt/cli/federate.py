"""`nnunet-prompt federate server|client`: adapters trained at several sites that keep their data."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.hints import next_command, note
from nnunet_prompt.cli.options import DEVICES, above_0, at_least, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sides = parser.add_subparsers(dest="side", metavar="SIDE", required=True)
    for name, add, summary in (
        (
            "server",
            _server_arguments,
            "start a SuperLink and run a federation; run it again to resume",
        ),
        ("client", _client_arguments, "start a SuperNode at a site, until it is stopped"),
    ):
        side = sides.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            allow_abbrev=False,
        )
        add(side)


def run(args: argparse.Namespace) -> int:
    return _server(args) if args.side == "server" else _client(args)


def _file(parser: argparse.ArgumentParser, flag: str, summary: str) -> None:
    parser.add_argument(flag, type=Path, required=True, metavar="FILE", help=summary)


def _server_arguments(parser: argparse.ArgumentParser) -> None:
    _file(parser, "--certificate", "certificate of this server for TLS, PEM")
    _file(parser, "--key", "private key of the certificate, PEM")
    _file(parser, "--ca", "certificate of the authority that signed it, PEM")
    keys = "folder with the public key of each site, NAME.pub; other sites are refused"
    parser.add_argument("--sites", type=Path, required=True, metavar="FOLDER", help=keys)
    written = "folder for the state, the shared part and Flower's files"
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="FOLDER", help=written
    )
    host = "address to listen at (default 127.0.0.1: this machine alone)"
    parser.add_argument("--host", default="127.0.0.1", help=host)
    port = "port to listen at (default 8443)"
    parser.add_argument("--port", type=at_least(1), default=8443, metavar="N", help=port)
    for flag, default, lowest, summary in (
        ("--rounds", 10, 1, "number of rounds"),
        ("--iterations", 20, 1, "iterations of each site between two averages"),
        (
            "--private-iterations",
            0,
            0,
            "iterations of each site's own part after the rounds; 0 is plain averaging",
        ),
        ("--min-sites", 2, 1, "sites that an average needs"),
        ("--timeout", 3600, 1, "seconds to wait for the answer of a site"),
        ("--patience", 3600, 1, "seconds to wait for enough sites"),
    ):
        text = f"{summary} (default {default})"
        parser.add_argument(flag, type=at_least(lowest), default=default, metavar="N", help=text)
    rate = "learning rate at the start (default 0.003)"
    parser.add_argument("--learning-rate", type=above_0(1), default=3e-3, metavar="R", help=rate)
    seed(parser)


def _client_arguments(parser: argparse.ArgumentParser) -> None:
    server = "address of the server, HOST:PORT"
    parser.add_argument("--server", required=True, metavar="ADDRESS", help=server)
    _file(parser, "--ca", "certificate of the authority that signed the server's, PEM")
    _file(parser, "--key", "private key of this site, whose public one the server has")
    name = "name of this site, part of its seed and of its messages"
    parser.add_argument("--name", required=True, help=name)
    dataset = "nnU-Net id or name of this site's data set"
    parser.add_argument("-d", dest="dataset", required=True, metavar="DATASET", help=dataset)
    _file(parser, "--base", "checkpoint that all sites start from")
    for flag, dest, default, summary in (
        ("-c", "configuration", "3d_fullres", "configuration of the plans"),
        ("-p", "plans", "nnUNetPlans", "plans, the same at all sites"),
        ("-tr", "trainer", "nnUNetTrainerPromptLoRA", "trainer that tunes few parameters"),
    ):
        text = f"{summary} (default {default})"
        parser.add_argument(flag, dest=dest, default=default, metavar=dest.upper(), help=text)
    fold = "fold whose training cases train and whose other cases validate (default 0)"
    parser.add_argument("-f", dest="fold", type=at_least(0), default=0, metavar="FOLD", help=fold)
    parser.add_argument(
        "-device", choices=DEVICES, default="cpu", help="device to train on (default cpu)"
    )


def _server(args: argparse.Namespace) -> int:
    from nnunet_prompt.federated.flower import ServerSetup, run_server
    from nnunet_prompt.federated.plan import Rounds

    plan = Rounds(args.rounds, args.iterations, args.private_iterations, args.learning_rate)
    setup = ServerSetup(
        args.certificate,
        args.key,
        args.ca,
        args.sites,
        args.output,
        plan,
        host=args.host,
        port=args.port,
        min_sites=args.min_sites,
        seed=args.seed,
        timeout_s=args.timeout,
        patience_s=args.patience,
    )
    print(f"wrote {run_server(setup)}: each site has its adapter.pth")
    return 0


def _client(args: argparse.Namespace) -> int:
    from nnunet_prompt.federated.flower import ClientSetup, run_client
    from nnunet_prompt.federated.site import check_site
    from nnunet_prompt.federated.site_config import NodeConfig
    from nnunet_prompt.training.external_trainers import require_folders

    require_folders("nnUNet_preprocessed", "nnUNet_results")
    node = NodeConfig(
        args.name,
        args.dataset,
        args.base,
        configuration=args.configuration,
        fold=args.fold,
        plans=args.plans,
        trainer=args.trainer,
        device=args.device,
    )
    check_site(node)
    note("this site runs until it is stopped with Ctrl-C")
    done = run_client(ClientSetup(args.server, args.ca, args.key, node))
    if done == 0:
        next_command("nnunet-prompt", "weights", "merge", "--help")
    return 1 if done else 0
