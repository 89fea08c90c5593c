"""The command of the lab: a local web page to hear, see, predict and teach."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serfeat.cli.screen import Consent, Root, app, consent, out, progress_bars
from serfeat.errors import MissingExtraError

if TYPE_CHECKING:
    from serfeat.manifest import Manifest


@app.command()
def lab(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of recordings to choose from; labels are those of their manifest.csv."
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="A corpus, see `serfeat corpora`, or demo; may be repeated."),
    ] = None,
    root: Root = None,
    runs: Annotated[Path, typer.Option(help="Folder of stored comparisons.")] = Path("runs"),
    model: Annotated[
        list[Path] | None, typer.Option(help="Folder of a trained model; may be repeated.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    workers: Annotated[int, typer.Option(help="Processes that compute.")] = 2,
    upload_limit: Annotated[int, typer.Option(help="MB that one upload may have.")] = 100,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    understood: Annotated[
        bool, typer.Option("--i-understand", help="Let others in the network reach it.")
    ] = False,
    accept: Consent = False,
) -> None:
    """Open the lab: a page on this computer to hear and see speech, and what models make of it."""
    try:
        from serfeat.lab.server import address, bind, serve
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("starlette", "uvicorn", "h11", "websockets"):
            raise MissingExtraError.of(error.name, "lab", "the lab") from None
        raise
    from serfeat.lab.state import MB, Options

    consent(accept)
    opened = bind(host, port, understood=understood)
    options = Options(
        corpora={name: _corpus(name, root) for name in corpus or ()},
        folders=tuple(folders or ()),
        runs=runs,
        models=tuple(model or ()),
        upload_limit=upload_limit * MB,
        workers=workers,
    )

    def ready() -> None:
        page = address(opened, options.token)
        out.print(
            f"the lab is at {page}\nCtrl-C ends it and deletes what was uploaded", markup=False
        )
        if browser:
            import webbrowser

            webbrowser.open(page)

    serve(options, opened, host=host, ready=ready)


def _corpus(name: str, root: Path | None) -> Manifest:
    """Find a corpus; the embedded one is made where it is not there yet."""
    from serfeat.corpora import cache_folder, find_root, read_corpus

    if name != "demo":
        return read_corpus(name, root or find_root(name))
    from serfeat.demo import make_corpus
    from serfeat.manifest_csv import read_manifest

    with progress_bars() as report:
        made = make_corpus(
            root or cache_folder("demo"),
            progress=lambda done, total: report("making the embedded corpus", done, total),
        )
    return read_manifest(made)
