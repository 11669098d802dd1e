"""csi: tokens, vocabulary, and the counts of the real corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.data.dataset import Dataset
from privaudit.data.registry import load_dataset
from privaudit.data.text import PADDING, UNKNOWN_WORD, build_vocabulary, encode, tokens_of
from privaudit.randomness import Seed

TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=9), min_size=1, max_size=6)


def test_tokens_are_words_in_lower_case() -> None:
    text = "Één *PROPNAME* is zo-zo: 't kost 12,50 snake_case!"
    assert tokens_of(text) == [
        *("één", "propname", "is", "zo", "zo", "t", "kost", "12", "50", "snake", "case")
    ]


def test_vocabulary_is_by_frequency_then_alphabet() -> None:
    texts = [["b", "a", "c"], ["c", "b"], ["c"]]
    assert build_vocabulary(texts, 5) == (PADDING, UNKNOWN_WORD, "c", "b", "a")
    assert build_vocabulary(texts, 4) == (PADDING, UNKNOWN_WORD, "c", "b")


@given(texts=TEXTS, size=st.integers(2, 12), length=st.integers(1, 12))
def test_encoding_can_be_read_back(texts: list[list[str]], size: int, length: int) -> None:
    vocabulary = build_vocabulary(texts, size)
    ids = encode(texts, vocabulary, length)
    assert ids.shape == (len(texts), length)
    assert ids.dtype == np.int32
    for row, text in zip(ids, texts, strict=True):
        words = [vocabulary[i] for i in row]
        known = [word if word in vocabulary else UNKNOWN_WORD for word in text[:length]]
        assert words == known + [PADDING] * (length - len(known))


@pytest.fixture(scope="module")
def corpus(data_dir: Path) -> Dataset:
    return load_dataset("csi", {}, data_dir, Seed(0))


def present(dataset: Dataset, name: str) -> int:
    return int((dataset.properties[name] == 1).sum())


def test_counts_of_the_corpus(corpus: Dataset) -> None:
    assert corpus.inputs.shape == (1_298, 300)
    assert len(corpus.vocabulary) == 4_000
    assert corpus.inputs.max() == 3_999
    assert corpus.class_names == ("negative", "positive")
    assert np.bincount(corpus.labels).tolist() == [656, 642]
    assert present(corpus, "gender") == 1_040
    assert present(corpus, "region") == 856
    assert present(corpus, "veracity") == 649
    assert [corpus.unknown(name) for name in corpus.properties] == [0, 0, 0]
    assert any("16 reviews were cut" in note for note in corpus.notes)


def test_authors_have_one_gender_and_one_region(corpus: Dataset) -> None:
    assert corpus.groups is not None
    assert np.array_equal(np.unique(corpus.groups), np.arange(590))
    reviews = np.bincount(corpus.groups)
    assert (reviews.min(), reviews.max()) == (2, 6)
    for name in ("gender", "region"):
        mean = np.bincount(corpus.groups, weights=corpus.properties[name]) / reviews
        assert set(mean) == {0.0, 1.0}


def test_no_row_is_empty_and_rare_words_are_unknown(corpus: Dataset) -> None:
    assert (corpus.inputs > 0).sum(axis=1).min() == 50
    inside = corpus.inputs[corpus.inputs > 0]
    assert 0.05 < (inside == 1).mean() < 0.12  # 4,000 of 15,760 words cover 91 % of the text


@pytest.mark.parametrize(("task", "classes"), [("veracity", 2), ("category", 5)])
def test_other_tasks(task: str, classes: int, data_dir: Path) -> None:
    dataset = load_dataset("csi", {"task": task}, data_dir, Seed(0))
    assert dataset.num_classes == classes
    assert np.bincount(dataset.labels).min() > 0
    assert task not in dataset.properties
    assert present(dataset, "sentiment") == 642


def test_category_counts(data_dir: Path) -> None:
    dataset = load_dataset("csi", {"task": "category"}, data_dir, Seed(0))
    counts = dict(zip(dataset.class_names, np.bincount(dataset.labels).tolist(), strict=True))
    assert counts == {
        "Boeken": 175,
        "Eten/drank Ketens": 433,
        "Films": 321,
        "Muzikanten": 197,
        "Smartphones": 172,
    }


def test_product_names_can_be_hidden(corpus: Dataset, data_dir: Path) -> None:
    hidden = load_dataset("csi", {"text": "text_propname"}, data_dir, Seed(0))
    assert "propname" in hidden.vocabulary
    assert "coldplay" in corpus.vocabulary
    assert "coldplay" not in hidden.vocabulary[:500]
    assert np.array_equal(hidden.labels, corpus.labels)
