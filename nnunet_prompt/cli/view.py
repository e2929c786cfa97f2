"""`nnunet-prompt view`: its arguments, and the one function that it calls."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from nnunet_prompt.cli.hints import note
from nnunet_prompt.cli.options import above_0, at_least, how_to_run, predict_options, trained_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    trained_model(parser)
    parser.add_argument(
        "images",
        type=Path,
        nargs="*",
        metavar="IMAGE",
        help="images to choose from: files, folders of images, or a folder with one DICOM series; others can be"
        " uploaded in the page",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help='folder that "save" writes masks and prompts to (default: downloads alone)',
    )
    parser.add_argument(
        "--open",
        action="store_true",
        dest="browser",
        help="open the page in this machine's browser",
    )
    _server(parser)
    how_to_run(parser)


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1: this machine alone); any other gets a token",
    )
    parser.add_argument(
        "--port", type=at_least(0), default=0, metavar="N", help="port (default 0: a free one)"
    )
    parser.add_argument(
        "--token",
        metavar="WORD",
        help="token that the page's address must end in, 16 letters and digits or more (default: a random one where"
        " other machines can reach the address)",
    )
    parser.add_argument(
        "--sessions",
        type=at_least(1),
        default=4,
        metavar="N",
        help="cases that are kept open at once, the one used least recently is closed first (default 4)",
    )
    parser.add_argument(
        "--memory",
        type=above_0(4096),
        default=4.0,
        metavar="GIB",
        help="size of all open cases together, likewise (default 4)",
    )
    parser.add_argument(
        "--upload",
        type=at_least(1),
        default=512,
        metavar="MIB",
        help="largest upload (default 512)",
    )


def run(args: argparse.Namespace) -> int:
    from nnunet_prompt.view.options import LOOPBACK, ViewOptions

    token = args.token
    if token is None and args.host not in LOOPBACK:
        token = secrets.token_hex(16)
    options = ViewOptions(
        images=tuple(args.images),
        output=args.output,
        host=args.host,
        port=args.port,
        token=token,
        sessions=args.sessions,
        memory_gib=args.memory,
        upload_mib=args.upload,
    )
    note(f"loading {args.model}")  # at once: importing torch alone may take many seconds
    from nnunet_prompt.view.serve import serve

    def ready(address: str) -> None:
        print(f"open {address} in a browser; Ctrl-C ends it", flush=True)
        if args.browser:
            import webbrowser

            webbrowser.open(address)

    serve(args.model, options, predict_options(args), ready=ready)
    return 0
