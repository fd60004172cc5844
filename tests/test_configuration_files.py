"""Configurations from files: what extends what, and from where paths are meant."""

from pathlib import Path
from typing import get_args

import pytest

from mints.basecaller_config import BasecallerConfig
from mints.config import Config
from mints.configuration_files import PATH_FIELDS, read_profile
from mints.errors import UsageError
from mints.protein_config import ProteinConfig
from mints.section import Section


def sections(section):
    """A section's class and those of all sections inside it."""
    yield section
    for field in section.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from sections(inner)


def names_a_file(annotation):
    """Whether a field's type has a path in it."""
    return annotation is Path or any(map(names_a_file, get_args(annotation)))


def test_every_field_that_names_a_file_is_meant_from_where_the_configuration_lies():
    found = {
        name
        for study in (Config, ProteinConfig, BasecallerConfig)
        for section in sections(study)
        for name, field in section.model_fields.items()
        if names_a_file(field.annotation)
    }
    assert found == set(PATH_FIELDS) - {"model"}


def test_relative_paths_are_seen_from_the_file_and_addresses_stay(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'genome = "a.fa"\nmodel = "./model"\nblacklist = "https://example.org/b.bed#md5=00"\n'
        '[[tasks]]\nname = "t"\ntrain = "{results}/t.csv"\ntest = "sub/t.csv"\n'
    )
    values = read_profile(None, path)
    assert values["genome"] == str(tmp_path / "a.fa")
    assert values["model"] == str(tmp_path / "model")
    assert values["blacklist"] == "https://example.org/b.bed#md5=00"
    assert values["tasks"][0]["train"] == "{results}/t.csv"
    assert values["tasks"][0]["test"] == str(tmp_path / "sub" / "t.csv")


@pytest.mark.parametrize("by_flag", [True, False])
def test_another_model_leaves_the_revision_hashes_and_family_of_the_profile_s_behind(by_flag, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "reference"\n' + ("" if by_flag else 'model = "team/other"\n'))
    values = read_profile(None, path, "team/other" if by_flag else None)
    assert values["model"] == "team/other"
    assert not {"model_revision", "model_sha256", "family"} & set(values)
    assert values["probe_layers"] == [0, 5, 11]


def test_questions_of_a_profile_that_own_data_do_not_ask_are_not_the_feature_suite_s():
    features = {"circuit_question": "splice_sites_donors", "sites": ["blocks.1.hook_resid_post"]}
    own = Config.model_validate({"train": "mine.csv", "features": features})
    assert own.features.circuit_question == ""
    assert own.features.sites == ["blocks.1.hook_resid_post"]
    named = Config.model_validate({"train": "mine.csv", "features": features | {"circuit_question": "mine"}})
    assert named.features.circuit_question == "mine"


def test_a_study_s_profiles_lie_in_a_folder_of_its_name_and_its_results_beside_the_genomic_ones():
    values = read_profile("embedded", None, study="protein")
    assert values["model"] == "mints:embedded_esm2"
    assert ProteinConfig.model_validate(values).results == Path("results/protein_embedded")
    assert Config.model_validate(read_profile("embedded", None)).results == Path("results/embedded")


def test_a_file_says_which_study_it_is_of_and_a_flag_may_not_say_otherwise(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('study = "basecaller"\nextends = "embedded"\n')
    assert read_profile(None, path)["model"] == "mints:embedded_basecaller"
    with pytest.raises(UsageError, match="of the study 'basecaller', not 'protein'"):
        read_profile(None, path, study="protein")
    with pytest.raises(UsageError, match="unknown study 'rna': there are genomic, protein, basecaller"):
        read_profile(None, None, study="rna")
    with pytest.raises(UsageError, match="the protein study has embedded, reference"):
        read_profile("embedded_nt", None, study="protein")
