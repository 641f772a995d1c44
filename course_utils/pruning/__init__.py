"""Pruning in PyTorch: score -> keep -> apply or remove -> recover -> measure.

    importance   what each weight is worth: model -> scores
    masks        which weights stay: scores -> masks; zero the others and keep them zero
    channels     whole channels physically removed: smaller tensors, faster networks
    schedules    how much, when: one shot, in rounds, along a cubic curve
    recovery     what comes after: fine-tuning, penalties, BatchNorm statistics
    allocation   how much from which layer
    tickets      winning tickets and their controls, many seeds at once
    storage      zeros that take no room on disk

Scores and masks are plain dicts of tensors, keyed by parameter name as in
`model.named_parameters()`, so any scorer goes with any way of keeping, and yours with ours:

    scores = importance.magnitude(model)
    masks.apply(model, masks.keep_global(scores, 0.8))

"Prunable" means the weights of Linear and Conv2d layers (`measure.prunable_weights`).
"""
