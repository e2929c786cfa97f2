"""Which JSON files the program writes, in which function, and the schema of each: the only list of them.

A test compares it with the code: a function that makes JSON is in `FILES`, or in `NO_FILE` where no file comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

PLANS = "nnU-Net's plans"
OWN = "for the program itself: "


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A JSON file that the program writes.

    name     of the file; in capitals where the user chooses it
    verb     writes it
    by       functions that write it, PATH:FUNCTION
    schema   name of the schema's file without its ending; empty: `form` states why there is none
    form     whose form it is, or what the program keeps in it for itself
    """

    name: str
    verb: str
    by: tuple[str, ...]
    schema: str = ""
    form: str = ""


FILES = (
    JsonFile(
        "PROMPTS.json", "view", ("nnunet_prompt/view/prompt_archive.py:write_prompts",), "prompts"
    ),
    JsonFile(
        "prompts.json",
        "simulate",
        ("nnunet_prompt/prompt_files/prompts_json.py:write_prompts_json",),
        "tfm4media_prompts",
    ),
    JsonFile(
        "dataset.json", "convert", ("nnunet_prompt/data/raw.py:write_raw_dataset",), "dataset_block"
    ),
    JsonFile(
        "nnunet_prompt_cases.json",
        "convert",
        ("nnunet_prompt/data/side_file.py:write_side_file",),
        "nnunet_prompt_cases",
    ),
    JsonFile(
        "conversion_report.json",
        "convert",
        ("dataset_conversion/care/inspect.py:write_report",),
        "conversion_report",
    ),
    JsonFile(
        "nnunet_prompt_folds.json",
        "convert unify",
        ("dataset_conversion/care/unify.py:_write_folds",),
        "nnunet_prompt_folds",
    ),
    JsonFile(
        "splits_final.json",
        "convert unify",
        ("nnunet_prompt/data/splits.py:write_splits",),
        form="nnU-Net's splits",
    ),
    JsonFile(
        "PLANS.json",
        "plan",
        (
            "nnunet_prompt/data/plans.py:_derive",
            "nnunet_prompt/weights/source_plan.py:write_source_plans",
        ),
        form=PLANS,
    ),
    JsonFile(
        "prompt_capability.json",
        "train",
        ("nnunet_prompt/networks/capability.py:write_capability",),
        "prompt_capability",
    ),
    JsonFile(
        "dataset.json and plans.json of a model",
        "train",
        (
            "nnunet_prompt/inference/model_files.py:describe_model",
            "nnunet_prompt/weights/export_files.py:new_model_folder",
            "nnunet_prompt/cli/doctor/tiny_model.py:write_tiny_model",
        ),
        form="nnU-Net's, with the block of the data set and the content of prompt_capability.json",
    ),
    JsonFile(
        "summary.json", "train", ("nnunet_prompt/training/validation.py:validate",), "summary"
    ),
    JsonFile(
        "REPORT.json",
        "submit",
        ("nnunet_prompt/challenge/report.py:Report._save",),
        "submit_report",
    ),
    JsonFile(
        "metrics.json",
        "evaluate",
        ("nnunet_prompt/evaluation/results.py:write_results",),
        "metrics",
    ),
    JsonFile(
        "interactions.json",
        "interact",
        ("nnunet_prompt/evaluation/interact/run.py:_write",),
        "interactions",
    ),
    JsonFile(
        "cases/CASE.json",
        "interact",
        ("nnunet_prompt/evaluation/interact/run.py:interact_folder",),
        form=f"{OWN}cases that a resumed run keeps; their rows are those of interactions.csv",
    ),
    JsonFile(
        "leaderboard.json",
        "leaderboard",
        ("nnunet_prompt/evaluation/ranking/leaderboard.py:leaderboard",),
        "leaderboard",
    ),
    JsonFile(
        "teams/TEAM.json",
        "leaderboard",
        ("nnunet_prompt/evaluation/ranking/teams.py:_evaluated",),
        form=f"{OWN}an evaluation that the next run keeps; `evaluation` has the form of metrics.json",
    ),
    JsonFile(
        "drift.json", "drift", ("nnunet_prompt/evaluation/drift/compare.py:write_drift",), "drift"
    ),
    JsonFile(
        "REPORT.json",
        "weights adapt",
        ("nnunet_prompt/weights/report.py:AdaptReport.write",),
        "adapt_report",
    ),
    JsonFile(
        "manifest.json",
        "weights export",
        ("nnunet_prompt/weights/onnx_model.py:write_onnx_model",),
        "manifest",
    ),
    JsonFile(
        "models.json",
        "weights publish",
        ("nnunet_prompt/weights/publish.py:_viewer_form",),
        form="nnInteractive's list of models",
    ),
    JsonFile(
        "sha256.json",
        "weights fetch",
        (
            "nnunet_prompt/weights/fetch.py:_write_hashes",
            "nnunet_prompt/weights/hub.py:fetch_hub",
        ),
        "sha256",
    ),
    JsonFile(
        "standard output", "doctor --json", ("nnunet_prompt/cli/doctor/verb.py:as_json",), "doctor"
    ),
    JsonFile(
        "cases.json",
        "phantom heart",
        ("nnunet_prompt/phantom/heart.py:write_phantoms",),
        "phantom_cases",
    ),
    JsonFile(
        "mock_challenge.json",
        "phantom",
        ("nnunet_prompt/phantom/record.py:Record._write",),
        form=f"{OWN}files that are written, so that a stopped run resumes",
    ),
    JsonFile(
        "sockets.json",
        "make image FORM=grand-challenge",
        ("container/pack_job.py:pack",),
        "sockets",
    ),
    JsonFile(
        "inputs.json and annotations",
        "make image FORM=grand-challenge",
        ("container/pack_job.py:write_test_job",),
        form="Grand Challenge's",
    ),
    JsonFile(
        "federation.json",
        "federate server",
        ("nnunet_prompt/federated/server.py:State.write",),
        "federation",
    ),
)

# Functions that make JSON of which no file comes: hashes, what checkpoints carry, answers to a browser.
NO_FILE = (
    "nnunet_prompt/challenge/forms/job.py:_from_file",
    "nnunet_prompt/data/raw.py:_prepare",
    "nnunet_prompt/data/splits.py:_composed",
    "nnunet_prompt/evaluation/interact/run.py:_kept",
    "nnunet_prompt/evaluation/ranking/teams.py:_fingerprint",
    "nnunet_prompt/evaluation/resume.py:Finished.keep",
    "nnunet_prompt/evaluation/resume.py:stamp_of",
    "nnunet_prompt/federated/flower.py:_connection",
    "nnunet_prompt/federated/flower_app.py:write_app",
    "nnunet_prompt/federated/part.py:layout_json",
    "nnunet_prompt/federated/site_config.py:NodeConfig.as_flower",
    "nnunet_prompt/io/json_file.py:write_json",
    "nnunet_prompt/networks/onnx_file.py:save_onnx",
    "nnunet_prompt/networks/provenance.py:pack",
    "nnunet_prompt/networks/safetensors_file.py:save_safetensors",
    "nnunet_prompt/view/wire.py:answer_bytes",
)


def files_table() -> str:
    """The files with their verbs and schemas, as a table in Markdown."""
    lines = ["| file | written by | form |", "|---|---|---|"]
    for file in FILES:
        form = f"[schema](#{file.schema})" if file.schema else file.form
        lines.append(f"| {file.name} | `{file.verb}` | {form} |")
    return "\n".join(lines) + "\n"
