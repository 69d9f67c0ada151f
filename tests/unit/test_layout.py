"""Where distribution keeps what; the golden paths are its own (`registry/storage/paths.go`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, copy_of
from backends.model.names import ImageId, RepositoryName, TagName, UploadId, parse_repository_name, parse_tag
from backends.model.targets import V1Target
from backends.model.v1names import V1Name
from backends.storage import layout

HEX = "0123456789abcdef" * 4
DIGEST = Digest("sha256", HEX)
NAME = RepositoryName("library/busybox")
TAG = TagName("1.0")
UPLOAD = UploadId("0ff71b58-9f1e-4a5c-8a9d-0123456789ab")
ROOT = "/docker/registry/v2"
REPOSITORY = f"{ROOT}/repositories/library/busybox"


@pytest.mark.parametrize(
    ("path", "golden"),
    [
        (layout.blob_data(DIGEST), f"{ROOT}/blobs/sha256/01/{HEX}/data"),
        (layout.blob_data(Digest("sha512", HEX * 2)), f"{ROOT}/blobs/sha512/01/{HEX * 2}/data"),
        (layout.repository(NAME), REPOSITORY),
        (layout.layer_link(NAME, DIGEST), f"{REPOSITORY}/_layers/sha256/{HEX}/link"),
        (layout.revision_link(NAME, DIGEST), f"{REPOSITORY}/_manifests/revisions/sha256/{HEX}/link"),
        (layout.manifests(NAME), f"{REPOSITORY}/_manifests"),
        (layout.tags(NAME), f"{REPOSITORY}/_manifests/tags"),
        (layout.tag(NAME, TAG), f"{REPOSITORY}/_manifests/tags/1.0"),
        (layout.tag_current_link(NAME, TAG), f"{REPOSITORY}/_manifests/tags/1.0/current/link"),
        (layout.tag_index_link(NAME, TAG, DIGEST), f"{REPOSITORY}/_manifests/tags/1.0/index/sha256/{HEX}/link"),
        (layout.upload(NAME, UPLOAD), f"{REPOSITORY}/_uploads/{UPLOAD}"),
        (layout.upload_data(NAME, UPLOAD), f"{REPOSITORY}/_uploads/{UPLOAD}/data"),
        (layout.upload_owner(NAME, UPLOAD), f"{REPOSITORY}/_uploads/{UPLOAD}/owner"),
        (layout.upload_started_at(NAME, UPLOAD), f"{REPOSITORY}/_uploads/{UPLOAD}/startedat"),
    ],
)
def test_everything_lies_where_distribution_looks_for_it(path: str, golden: str) -> None:
    assert path == golden


@pytest.mark.parametrize(
    "path",
    [
        layout.PRIMARY,
        layout.TEMPORARY,
        layout.SCHEMA1_KEY,
        layout.TOKEN_KEY,
        layout.signed_schema1(NAME, DIGEST),
        layout.referrer(NAME, DIGEST, DIGEST),
    ],
)
def test_what_is_ours_lies_where_no_original_program_looks(path: str) -> None:
    assert path.startswith("/docker/registry/portside/")


@given(st.text(alphabet="a0._-/_", min_size=1, max_size=20), st.text(alphabet="A0._-", min_size=1, max_size=5))
def test_no_name_that_passes_collides_with_the_layouts_own_folders(name: str, tag: str) -> None:
    try:
        repository, tag_name = parse_repository_name(name), parse_tag(tag)
    except RegistryError:
        return
    path = layout.tag_current_link(repository, tag_name)
    above, mark, below = path.partition("/_manifests/")
    assert (above, mark, below) == (layout.repository(repository), "/_manifests/", f"tags/{tag}/current/link")
    assert not {".", "..", ""} & set(path[1:].split("/"))


@given(st.sampled_from(["sha256", "sha512"]), st.sampled_from(["a", "a/sha256", f"a/sha256/{HEX}", f"a/{HEX}"]))
def test_entries_of_referrers_collide_with_no_repositorys_folder(algorithm: str, name: str) -> None:
    """A repository may be called as an entry is, below one that has the subject's name."""
    digest = Digest(algorithm, HEX * (1 if algorithm == "sha256" else 2))
    entry = layout.referrer(RepositoryName(name), digest, digest)
    folder, _, last = entry.rpartition("/")
    assert folder == layout.referrers(RepositoryName(name), digest)
    assert layout.referrer_of(last) == digest
    own, mark, _ = entry.removeprefix(f"{layout.INDEX}/referrers/").partition("/_subjects/")
    assert (own, mark) == (name, "/_subjects/")


@pytest.mark.parametrize("entry", ["", "x", "sha256", "sha256-", f"sha256-{HEX}0", f"sha256:{HEX}x", f"md5-{HEX}"])
def test_what_is_not_an_entry_of_a_referrer_is_passed_over(entry: str) -> None:
    assert layout.referrer_of(entry) is None


def test_an_image_that_a_repository_has_for_itself_is_found_by_both_their_names() -> None:
    image_id = ImageId(HEX)
    team, nested = V1Name("team", "app"), V1Name("team", "app/deep")
    places: list[ImagePlace] = [image_id, ImageCopy(team, image_id), ImageCopy(nested, image_id)]
    for paths in ([layout.v1_image_json(place) for place in places], [layout.v1_staging(place) for place in places]):
        assert len(set(paths)) == len(places)
        assert not any(a != b and a.startswith(f"{b}/") for a in paths for b in paths)
    assert layout.v1_image_json(places[1]) == f"{layout.PRIMARY}/v1/repositories/team/app/{HEX}/json"
    assert layout.v1_image_json(image_id) == f"/images/{HEX}/json"


@pytest.mark.parametrize("is_copy", [False, True])
def test_a_derivation_says_of_which_of_both_images_with_an_id_it_was_made(is_copy: bool) -> None:  # noqa: FBT001 - a table
    target = V1Target(ImageId(HEX), is_copy=is_copy)
    assert layout.source_of_derivation(layout.derivation_source(target)) == target


def test_a_repository_that_v1_cannot_name_has_no_images_of_its_own_where_another_has_them() -> None:
    mine = copy_of(RepositoryName("library/x"), ImageId(HEX))
    assert layout.v1_copies(mine.owner) != layout.v1_copies(V1Name("library", "x"))
    assert copy_of(RepositoryName("x"), ImageId(HEX)).owner == V1Name("library", "x")
