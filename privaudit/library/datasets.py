"""Arrays out of a ``torch.utils.data.Dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset

from privaudit.errors import UserError

LABELS = ("labels", "label")
LEFT_OUT = ("attention_mask", "token_type_ids", "idx")
"""What items of tokenised texts hold besides: a model can make its mask of the padding, id 0."""

KINDS = {"input_ids": "text", "pixel_values": "image"}
"""Names of inputs that say what they are."""

LEVELS = 255
"""Of a grey or a colour: what is between 0 and 1 is this many times a whole number."""


def arrays_of(
    dataset: Dataset[Any], *, kind: str | None
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Inputs, labels, and the kind of data where the items say it.

    Items are (input, label), or dicts with ``label`` or ``labels`` and one input; of tokenised
    texts ``attention_mask`` and ``token_type_ids`` are left out. Images are what
    ``torchvision.transforms.ToTensor`` gives ([C, H, W] in [0, 1], not normalised), uint8 arrays
    or pictures of Pillow.

    Args:
        dataset: with a length, read once from front to back.
        kind: ``image``, ``text`` or ``table``; None = told from the items.

    Raises:
        UserError: it has no length or no records; an item cannot be read, holds something else, or
            has another shape than the first.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise UserError(
            "a data set without a length",
            where="inputs",
            remedy="give one with __len__ and __getitem__, or arrays",
        )
    pairs = [_item(dataset, number) for number in range(len(dataset))]
    if not pairs:
        raise UserError("the data set has no records", where="inputs")
    names = {name for name, _, _ in pairs}
    kind = kind or next((KINDS[name] for name in names if name in KINDS), None)
    inputs = _stacked([one for _, one, _ in pairs])
    return _image(inputs, kind), np.asarray([label for _, _, label in pairs]), kind


def _item(dataset: Dataset[Any], number: int) -> tuple[str, np.ndarray, Any]:
    """Name of the input, the input and the label."""
    where = f"inputs[{number}]"
    try:
        item = dataset[number]
    except Exception as error:
        raise UserError(f"cannot be read: {type(error).__name__}: {error}", where=where) from error
    name = ""
    if isinstance(item, Mapping):
        label = next((item[key] for key in LABELS if key in item), None)
        names = [key for key in item if key not in (*LABELS, *LEFT_OUT)]
        if label is None or len(names) != 1:
            raise UserError(
                f"a dict of {', '.join(map(str, item))}",
                where=where,
                remedy="give 'label' or 'labels' and one input, or pairs of input and label",
            )
        [name] = names
        one = item[name]
    elif isinstance(item, tuple | list) and len(item) == 2:
        one, label = item
    else:
        raise UserError(
            f"neither a pair of input and label nor a dict: {type(item).__name__}", where=where
        )
    value = np.asarray(label)
    if value.ndim:
        raise UserError(f"a label of shape {list(value.shape)}", where=where, remedy="give one")
    return str(name), np.asarray(one), value.item()


def _stacked(inputs: list[np.ndarray]) -> np.ndarray:
    shape = inputs[0].shape
    for number, one in enumerate(inputs):
        if one.shape != shape or one.dtype == object:
            raise UserError(
                f"of shape {list(one.shape)}, the first of {list(shape)}",
                where=f"inputs[{number}]",
                remedy="pad texts with 0 and resize images to one size",
            )
    return np.stack(inputs)


def _image(inputs: np.ndarray, kind: str | None) -> np.ndarray:
    """[N, C, H, W] in [0, 1] -> [N, H, W, C] uint8; anything else as it is.

    Raises:
        UserError: they are not 256 levels between 0 and 1.
    """
    channels = inputs.ndim == 4 and inputs.shape[1] in (1, 3)
    if inputs.dtype.kind != "f" or not channels or kind not in (None, "image"):
        return inputs
    levels = inputs.astype(np.float64) * LEVELS
    whole = np.rint(levels)
    if whole.min() < 0 or whole.max() > LEVELS or np.abs(levels - whole).max() > 0.01:
        raise UserError(
            "images that are not levels of 0 to 255 divided by 255",
            where="inputs",
            remedy="leave Normalize out of the transforms: the engine scales images itself",
        )
    return whole.astype(np.uint8).transpose(0, 2, 3, 1)
