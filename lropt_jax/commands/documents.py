"""What stands in the JSON document of each command, by its keys."""

from __future__ import annotations

ALWAYS = {
    "command": "its name",
    "version": "of lropt_jax",
    "exit_code": "how it ended",
    "error": "why it failed, in words; `null` where it did not",
}
PLAN = {
    "plan": "in words",
    "trainings": "in all",
    "model_steps": "updates of models in all",
    "lanes": "models that train at once",
    "memory": "about the bytes that these need",
    "seconds": "about; an estimate",
}
# Of those whose directory may have a part of it.
KEPT = {"trained_before": "model-steps of these that lie in the directory already"}
KEEPING = "sweep", "compare", "tune"
# Of `reproduce` and `atlas`, whose parts stand each for itself.
PLAN_OF_PARTS = {
    "plan": "in words",
    "claims": "by name: `kind`, `seeds`, whether it is `kept`, `seconds` (null: not measured)",
    "problems": "by name: `updates`, `parts`, `trainings`, `model_steps`, `seconds`",
    "trainings": "in all",
    "model_steps": "updates of models in all",
    "seconds": "about; an estimate",
    "not_measured": "how many claims are not in it",
}
DOCUMENTS: dict[str, dict[str, str]] = {
    "tune": {
        "problem": "what it was tuned on, in words",
        "recommendation": "in words, with the line of code",
        "code": "the line to paste; empty where nothing finished",
        "best": "the recommended configuration: `optimizer`, `learning_rate`, `schedule`, ...",
        "metric": "what decided",
        "mode": "`min` or `max`",
        "steps": "updates of each training",
        "configurations": "all that were tried, the best first: the rows of `Tuning.table()`",
        "regret": "`value`, `low`, `high`: what a search 32 times as long is expected to gain",
        "doubling": "`value`, `low`, `high`: the same of one twice as long",
        "warnings": "what to doubt",
        "stopped": "why it ended before its plan; empty where it did not",
        "report": "the page",
        "model_steps": "updates that it took",
        "seconds": "that it took",
    },
    "compare": {
        "problem": "what was compared on, in words",
        "recommendation": "in words, with the line of code",
        "recommended": "the optimizer; null where nothing finished",
        "code": "the line to paste",
        "verdict": "what the paired tests say",
        "metric": "what decided, on the test split",
        "mode": "`min` or `max`",
        "ranking": "the optimizers that finished, the best first",
        "optimizers": "the rows of `Comparison.table()`",
        "pairs": "`first` minus `second`: `difference`, `half_width` of its 95% interval, "
        "`p_value` (Holm), `smallest` difference that matters, `significant`, `tie`",
        "step_seconds": "of one update of one model, by optimizer",
        "warnings": "what to doubt",
        "lropt": "the command that makes the same again",
        "report": "the page",
        "seconds": "that it took",
    },
    "find-lr": {
        "problem": "what was trained, in words",
        "optimizer": "`name`, and what was set",
        "rule": "that the suggestion is from",
        "suggestion": "`value`, `low`, `high`; null where there is none, and of several curves",
        "curves": "one for each configuration, `of` which values it is: `suggestion`, `bounds` for "
        "a cycle, `rules`, `reasons` where a rule says nothing, the `median` loss over seeds, "
        "how many seeds `diverged`",
        "learning_rates": "the ladder",
        "seeds": "which",
        "split": "`train` or `valid`, what the losses are of",
        "output": "the folder of the figure and the rows",
        "seconds": "that it took",
    },
    "schedules": {
        "schedules": "by name: `steps` and `values`",
        "figure": "the picture",
    },
    "list": {
        "optimizers": "names and what they are",
        "schedules": "names and what they are",
        "problems": "names and what they are",
        "claims": "names and what they say",
        "memory": "with --memory, of each `optimizer`: bytes `per_parameter`, and `fixed` ones",
    },
    "sweep": {
        "example": "with --example: the file",
        "recommendation": "in words, with the line of code",
        "code": "the line to paste; empty where nothing finished",
        "metric": "that trials are ranked by",
        "mode": "`min` or `max`",
        "best": "the first of `trials`; null where none finished",
        "trials": "that finished, the best first: `trial`, `configuration`, `mean` over seeds, "
        "`half_width` of its 95% interval",
        "lanes": "how many ended how",
        "warnings": "where the best stands on an edge or beside a cliff",
        "table": "the file of all rows",
        "figures": "the files of the figures",
        "report": "the page; null without matplotlib and jinja2",
        "model_steps": "updates that it took",
        "seconds": "that it took",
    },
    "reproduce": {
        "claims": "of each: `verdict`, `holds`, `measured`, `criterion`, `seconds`, ...",
        "pages": "the overview",
    },
    "atlas": {
        "atlas": "what its page shows",
        "added": "where your own optimizer stands, a line a problem",
        "page": "the page",
        "rows": "the folder of the rows, for `load_atlas`",
        "data": "with --verify: which data",
        "verified": "with --verify: the rows that were trained again",
        "differ": "with --verify: how many came out otherwise",
    },
    "completion": {"shell": "which one", "script": "for it"},
}
