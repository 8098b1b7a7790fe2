"""Bars on a terminal."""

from segmodels import process


def test_one_bar_counts_over_several_series(monkeypatch, capsys):
    monkeypatch.setattr(process, "_on_terminal", lambda: True)
    bar = process.Bar("small")
    bar.expect(9)
    assert list(bar.progress("abc", 3, "epoch 1/2")) == ["a", "b", "c"]
    bar.reach(6)  # as after epochs that come out of a checkpoint
    bar.write("epoch 1 is done")
    assert list(bar.progress("def", 3, "epoch 2/2")) == ["d", "e", "f"]
    bar.close()
    out, err = capsys.readouterr()
    assert out == "epoch 1 is done\n"
    shown = [part for part in err.split("\r") if "small" in part]
    assert bar._bar.n == 9
    assert any("epoch 2/2" in part for part in shown)


def test_without_a_terminal_a_bar_prints_its_lines_and_nothing_else(monkeypatch, capsys):
    monkeypatch.setattr(process, "_on_terminal", lambda: False)
    bar = process.Bar("small")
    bar.expect(3)
    assert list(bar.progress("abc", 3, "epoch 1/1")) == ["a", "b", "c"]
    bar.reach(3)
    bar.write("epoch 1 is done")
    bar.close()
    assert capsys.readouterr() == ("epoch 1 is done\n", "")
