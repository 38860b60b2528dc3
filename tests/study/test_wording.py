"""What breaks a schema is told in one sentence, in the words of YAML, with the cure."""

import datetime

import jsonschema
import pytest
from jsonschema.exceptions import best_match
from study_fixtures import change, demo_config

from visae.base.errors import UserError
from visae.study import wording
from visae.study.config import checked, load_schema, problems

ANY = {"properties": {"long": {}}, "additionalProperties": False}
NAME = {"type": "string", "pattern": "^[a-z_]+$", "description": "Small letters"}
BOTH = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["b"]}]}
WORDS = {"anyOf": [{"type": "number"}, {"const": "measured"}, {"enum": ["no", None]}]}
READ = "true (so YAML reads yes and on)"
KEYWORDS = [
    ({"type": "array"}, 16, "a is 16, but must be a list; write [16]"),
    ({"type": "array", "items": {"type": "string"}}, 16, "a is 16, but must be a list"),
    ({"type": "array"}, {"b": 1}, "a is {b: 1}, but must be a list"),
    ({"type": "string"}, 1.5, "a is 1.5, but must be text; put it in quotes"),
    ({"type": "string"}, ["b"], "a is ['b'], but must be text"),
    ({"type": "string"}, datetime.date(2026, 1, 2),
     "a is 2026-01-02, but must be text; put it in quotes"),
    ({"type": "string"}, None, "a is empty, but must be text; write it behind the colon"),
    ({"type": "string"}, True, f"a is {READ}, but must be text; put it in quotes"),
    ({"type": "boolean"}, "yes",
     "a is 'yes', but must be true or false; write true, without quotes"),
    ({"type": "integer"}, False,
     "a is false (so YAML reads no and off), but must be a whole number"),
    ({"type": "integer"}, "42", "a is '42', but must be a whole number; write 42, without quotes"),
    ({"type": "integer"}, "[", "a is '[', but must be a whole number"),
    ({"type": "integer"}, 1.5, "a is 1.5, but must be a whole number"),
    ({"type": ["number", "array", "null"]}, "b", "a is 'b', but must be a number, a list or null; "
     "write ['b']"),
    ({"type": "object"}, [None], "a is [null], but must be keys with values"),
    ({"type": "object"} | ANY, True,
     f"a is {READ}, but must be keys with values; write keys below it: long"),
    ({"minimum": 1}, -1, "a is -1, but must be at least 1"),
    ({"maximum": 1, "description": "about\n it"}, 2, "a is 2, but must be at most 1 (about it)"),
    ({"exclusiveMinimum": 0}, 0, "a is 0, but must be more than 0"),
    ({"exclusiveMaximum": 1}, 1, "a is 1, but must be less than 1"),
    ({"multipleOf": 2}, 3, "a is 3, but must be a multiple of 2"),
    ({"minItems": 1}, [], "a is [], but must not be empty"),
    ({"minItems": 2}, [7], "a is [7], but must have at least 2 values"),
    ({"maxItems": 1}, [7, True], "a is [7, true], but must have at most 1 value"),
    ({"minProperties": 1}, {}, "a is {}, but must not be empty"),
    ({"maxProperties": 1}, {"b": 1, "c": None},
     "a is {b: 1, c: null}, but must have at most 1 key"),
    ({"minLength": 1}, "", "a is '', but must not be empty"),
    ({"maxLength": 2}, "bcd", "a is 'bcd', but must have at most 2 letters"),
    ({"uniqueItems": True}, [16, 8, 16],
     "a is [16, 8, 16], but must have each value once; take one 16 out"),
    ({"const": "b"}, "c", "a is 'c', but must be b"),
    (NAME, "My Own", "a is 'My Own', but must be small letters; such as my_own"),
    (NAME, "3", "a is '3', but must be small letters"),
    ({"pattern": "^b"}, "c", "a is 'c', but must be of the form ^b"),
    ({"propertyNames": NAME}, {"My Own": 1},
     "a has the name 'My Own', which must be small letters; such as my_own"),
    (BOTH, 3, "a is 3, but must be text or keys with values; put it in quotes"),
    (BOTH, {"c": 1}, "a lacks the key 'b'; add it"),
    (WORDS, "measure", "a is 'measure', but must be a number, measured, no or null"),
    ({"not": {"type": "null"}}, None, "a is empty, but must follow its schema, which says: None "),
    ({"required": ["b", "c", "d"]}, {"b": 1}, "a lacks the key 'c'; add it"),
    (ANY, {"long": 2, "lnog": 1}, "a has the unknown key 'lnog'; did you mean 'long'?"),
    (ANY, {"x": 1}, "a has the unknown key 'x'; known keys: long"),
    (ANY, {True: 1}, "a has the unknown key true; known keys: long"),
    ({"enum": ["b", "long"]}, "lnog",
     "a is 'lnog', which is not known; did you mean 'long'? use one of b, long"),
    ({"enum": ["long", 2, None]}, 7, "a is 7, which is not known; use one of long, 2, null"),
    ({"enum": ["no"]}, False, "a is false (so YAML reads no and off), which is not known; use one "
     "of no"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "said"), KEYWORDS)
def test_every_keyword_has_its_words(schema, value, said):
    whole = {"properties": {"a": schema}}
    error = best_match(jsonschema.Draft202012Validator(whole).iter_errors({"a": value}))
    found = wording.sentence(error, whole)
    assert found.startswith(f"config: {said}") if said.endswith(" ") else found == f"config: {said}"


def test_every_keyword_of_the_configs_schema_is_tested():
    """Those that refuse something by themselves, in the schema and its evals'."""

    def keywords(schema):
        if isinstance(schema, list):
            return set().union(*map(keywords, schema))
        if not isinstance(schema, dict):
            return set()
        named = ("properties", "$defs")
        inner = [sub for key in named for sub in schema.get(key, {}).values()]
        inner += [sub for key, sub in schema.items() if key not in (*named, "default")]
        own = schema.keys() & jsonschema.Draft202012Validator.VALIDATORS
        return own.union(*map(keywords, inner))

    applying = {"$ref", "items", "properties", "format"}
    assert keywords(load_schema()) - applying <= keywords([schema for schema, _, _ in KEYWORDS])


def broken(**changes):
    config = demo_config()
    for path, value in changes.items():
        change(config, path.replace("__", "."), value)
    return config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extraction__on_bad_image": "skip"}, "it stands at the top level: move it there"),
        ({"chunk_images": 8}, "it stands in extraction: move it there"),
        ({"evaluation__pairs": 8}, "it stands in matches: move it there"),
        ({"sweeps__main__model": 8}, "it stands in backbones.{name}: move it there"),
        ({"sweeps__main__layers": 8}, "did you mean 'layer'?"),
        ({"dataset": {}}, "did you mean 'datasets'?"),
        ({"sweeps__main__nothing_like_it": 8}, "known keys: family, backbones"),
    ],
)
def test_an_unknown_key_is_told_where_it_belongs(changes, said):
    config = broken(**changes)
    [found] = problems(config)
    [path] = changes
    assert f"has the unknown key '{path.rpartition('__')[2]}'; {said}" in found
    with pytest.raises(UserError) as caught:
        checked(config)
    assert str(caught.value) == found


def test_a_misspelt_key_is_not_said_to_be_missing_as_well():
    config = demo_config()
    config["dataset"] = config.pop("datasets")
    del config["training"]
    found = problems(config)
    assert sorted(found) == [
        "config: the config has the unknown key 'dataset'; did you mean 'datasets'?",
        "config: the config lacks the key 'training'; add it",
    ]


def test_every_name_that_is_none_is_said():
    config = demo_config()
    entry = next(iter(config["datasets"].values()))
    config["datasets"] |= {"my images": entry, "3d": entry, 7: entry}
    found = problems(config)
    assert len(found) == 3
    for name in (
        "'my images', which must be lower-case letters",
        "'3d', which must be",
        "7, which",
    ):
        assert sum(f"config: datasets has the name {name}" in each for each in found) == 1
    assert not any("^" in each for each in found)


def test_keys_that_are_no_text_are_unknown_ones():
    found = problems(demo_config() | {True: 1, 5: 2, "foo": 3})
    said = {each.partition(";")[0].rpartition(" ")[2] for each in found}
    assert said == {"true", "5", "'foo'"}
