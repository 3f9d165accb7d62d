"""The catalogue: real lines are read, malformed ones are named."""

import json

import pytest

from kvraft.course.tour.earthquakes import Catalogue, Quake, catalogue_path, load, reports
from kvraft.errors import BadInput

HEADER = ",".join(Quake._fields)
LINE = '1000,2000,uw1,uw,reviewed,0.31,ml,earthquake,-122.1,46.2,3.28,"37km NNE of Amboy"'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "quakes.csv"

    def write(*lines, encoding="utf-8"):
        path.write_text("\n".join(lines), encoding=encoding)
        return path

    return write


def test_the_catalogue_that_comes_with_kvraft_is_whole():
    quakes = load()
    assert len(quakes) == 1707
    assert quakes[0].place == "37km NNE of Amboy, Washington"
    assert len(reports(quakes)) == 2 * 1707
    assert catalogue_path().with_name("README.md").read_text().count("USGS") == 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "is empty"),
        ([HEADER], "no events"),
        ([HEADER + ",tsunami", LINE + ",1"], "line 1: there is no column 'tsunami'"),
        ([HEADER.replace(",place", ""), LINE], "line 1: column 'place' is missing"),
        ([HEADER.replace("place", "id"), LINE], "line 1: column 'id' is named twice"),
        ([HEADER, LINE, "1,2,3"], "line 3: 3 fields where 12 are needed"),
        ([HEADER, "", LINE], "line 2: 0 fields"),
        ([HEADER, LINE, LINE], "line 3: event uw1 is listed twice"),
        (
            [HEADER, LINE.replace("1000", "soon")],
            "line 2: time_ms must be a whole number .* 'soon'",
        ),
        ([HEADER, LINE.replace("1000", "3000")], "line 2: event uw1 was revised before"),
        ([HEADER, LINE.replace("0.31", "nan")], "line 2: magnitude must be a number .* 'nan'"),
        ([HEADER, LINE.replace("46.2", "146.2")], "line 2: latitude must be a number from -90"),
        ([HEADER, LINE.replace("uw1", "")], "line 2: id must be a name"),
        ([HEADER, LINE.replace("uw1", "u/w")], "line 2: id must be a name without '/'"),
        ([HEADER, LINE[:-1]], "line 2: unexpected end of data"),
        ([HEADER, LINE + "x"], "line 2: .* expected after"),
    ],
)
def test_a_malformed_file_is_refused_with_the_line_and_the_reason(file, lines, says):
    with pytest.raises(BadInput, match=says):
        load(file(*lines))


def test_a_file_that_is_no_text_or_not_there_is_refused(file, tmp_path):
    with pytest.raises(BadInput, match="not text in UTF-8"):
        load(file(HEADER, LINE.replace("Amboy", "Ambøy"), encoding="latin-1"))
    with pytest.raises(BadInput, match=r"nowhere\.csv cannot be read: No such file"):
        load(tmp_path / "nowhere.csv")


def test_a_review_moves_the_secondary_keys_in_the_same_transaction(file):
    first, revised = reports(load(file(HEADER, LINE)))
    catalogue = Catalogue()
    writes = dict(catalogue.writes(first))
    assert writes[b"status/automatic/uw1"] == b""
    assert writes[b"newest/uw"] == b"uw1"
    assert json.loads(writes[b"event/uw1"])["status"] == "automatic"
    writes = dict(catalogue.writes(revised))
    assert writes[b"status/automatic/uw1"] is None
    assert writes[b"status/reviewed/uw1"] == b""
    assert json.loads(writes[b"event/uw1"])["status"] == "reviewed"


def test_secondary_keys_agree_with_the_records_after_the_whole_replay():
    catalogue = Catalogue()
    for report in reports(load()):
        catalogue.writes(report)
    quakes = {q.id: q for q in load()}
    listed = sorted(key for key in catalogue.map if key.startswith(b"status/"))
    assert listed == sorted(f"status/{q.status}/{q.id}".encode() for q in quakes.values())
    networks = {q.network for q in quakes.values()}
    newest = {n: max(q for q in quakes.values() if q.network == n) for n in networks}
    for network, quake in newest.items():
        assert catalogue.map[f"newest/{network}".encode()] == quake.id.encode()
    assert len(catalogue.map) == 4 * 1707 + len(networks)
