"""What a clinician does on the page: look, click, draw, undo, decide; and what is there after a reload."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
from PIL import Image

from bundle.review.versions import Versions
from tests.page.conftest import answered, idle


def versions_of(served, case="turned"):
    return Versions(served.session.case(served.id_of(case)))


def mask_of(versions, line):
    return np.asarray(nib.load(versions.mask_path(line)).dataobj)


def place(page):
    """The voxel that the page shows for the crosshair."""
    return [int(number) for number in page.inner_text("#place").removeprefix("voxel ").split(", ")]


def picture(page):
    return np.asarray(Image.open(io.BytesIO(page.locator("main").screenshot())).convert("RGB")).astype(int)


def at(page, x, y):
    """A place in the viewer, in shares of its width and height."""
    box = page.locator("#view").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def orange(pixels):
    """Pixels of the colour of the mask, be it mixed with grey."""
    return (pixels[..., 0] > pixels[..., 2] + 60) & (pixels[..., 1] > pixels[..., 2] + 25)


def test_click_undo_redo_decide_reload(opened, served):
    page = opened(case="turned")
    versions = versions_of(served)
    automatic = mask_of(versions, versions.none())
    before = picture(page)

    page.mouse.click(*at(page, 0.22, 0.45))
    answered(page, 1)
    line = versions.last()
    (voxel,) = line["prompts"]["foreground"]
    assert voxel == place(page)
    mask = mask_of(versions, line)
    assert mask[tuple(voxel)] == 1 and (mask != automatic).any()
    assert (np.abs(picture(page) - before).max(axis=-1) > 40).sum() > 20
    assert f"{line['lesion_ml']:.1f} ml" in page.inner_text("#volume")

    page.keyboard.down("Shift")
    page.mouse.click(*at(page, 0.4, 0.5))
    page.keyboard.up("Shift")
    answered(page, 2)
    (normal,) = versions.last()["prompts"]["background"]
    assert mask_of(versions, versions.last())[tuple(normal)] == 0 and normal == place(page)

    page.keyboard.press("Control+z")
    answered(page, 3)
    assert np.array_equal(mask_of(versions, versions.last()), mask)
    page.click("#undo")
    answered(page, 4)
    assert versions.last()["strokes"] == [] and page.is_disabled("#undo")
    page.keyboard.press("Control+y")
    answered(page, 5)

    page.fill("#remark", "a second, smaller one")
    page.keyboard.press("Tab")
    answered(page, 6)
    assert page.is_disabled("[data-verdict=accepted]")
    page.click("[data-verdict=corrected]")
    answered(page, 7)
    last = versions.last()
    assert (last["verdict"], last["remark"]) == ("corrected", "a second, smaller one")
    assert np.array_equal(mask_of(versions, last), mask)
    shown = picture(page)

    page.reload()
    answered(page, 7)
    assert page.input_value("#remark") == "a second, smaller one"
    assert page.get_attribute("[data-verdict=corrected]", "aria-checked") == "true"
    assert page.inner_text('tr[aria-current="true"]').split()[-1] == "✎"
    assert page.inner_text("#title") == "turned"
    # the same mask is there again, and the mark, in the same axial slice
    there, again = (orange(pixels[:, : pixels.shape[1] // 2]).sum() for pixels in (shown, picture(page)))
    assert there > 100 and abs(int(there) - int(again)) < 0.25 * there
    page.click("summary")
    page.click("#history li:has-text('2 marks') button")
    answered(page, 8)
    assert len(versions.last()["strokes"]) == 2 and versions.last()["verdict"] == "open"


def test_a_click_is_where_it_is_seen(opened, served):
    """What is bright at the pointer is bright in the voxel that is sent, in each of three planes; right is left."""
    page = opened(case="turned")
    scan = nib.Nifti1Image.from_bytes(served.ask("GET", f"/cases/{served.id_of('turned')}/versions/0/scan.nii").body)
    voxels, millimetres = scan.get_fdata(), []
    page.uncheck("#show-mask")
    seen, stored = [], []
    page.click("[data-tool=look]")
    for x, y in [(x, y) for x in (0.2, 0.27, 0.34, 0.41) for y in (0.4, 0.5)] + [(0.81, 0.25), (0.81, 0.75)]:
        page.mouse.click(*at(page, x, y))
        page.mouse.move(*at(page, 0.01, 0.99))
        pixels = picture(page)
        # beside the crosshair, which has a gap at its centre
        row, column = int(y * pixels.shape[0]), int(x * pixels.shape[1])
        seen.append(pixels[row - 1 : row + 2, column - 1 : column + 2].mean())
        stored.append(voxels[tuple(place(page))])
        millimetres.append((scan.affine @ [*place(page), 1])[0])
    assert np.corrcoef(seen, stored)[0, 1] > 0.9, list(zip(seen, stored))
    # the patient's right, which is positive, is on the left of the picture
    assert millimetres[0] > millimetres[7] + 20
    assert not versions_of(served).all()


def test_brush_drag_scroll_and_layers(opened, served):
    page = opened(case="turned")
    versions = versions_of(served)
    # dragging with the click tool only looks
    page.mouse.move(*at(page, 0.25, 0.5))
    page.mouse.down()
    page.mouse.move(*at(page, 0.32, 0.5), steps=4)
    page.mouse.up()
    start = place(page)
    page.keyboard.press("ArrowUp")
    assert place(page) != start
    assert versions.all() == []
    page.keyboard.press("b")
    page.keyboard.press("n")
    page.mouse.move(*at(page, 0.25, 0.5))
    page.mouse.down()
    page.mouse.move(*at(page, 0.32, 0.52), steps=5)
    page.mouse.up()
    answered(page, 1)
    (scribble,) = versions.last()["prompts"]["background_scribbles"]
    assert len(scribble) > 4
    # without a hole: each voxel has a neighbour
    steps = [min(max(abs(a - b) for a, b in zip(one, other)) for other in scribble if other != one) for one in scribble]
    assert set(steps) == {1}
    mask = mask_of(versions, versions.last())
    assert all(mask[tuple(voxel)] == 0 for voxel in scribble)

    plain = picture(page)
    page.keyboard.press("m")
    for key in ("h", "o"):
        page.keyboard.press(key)
        page.wait_for_timeout(200)
        idle(page)
        shown = picture(page)
        assert (np.abs(shown - plain).max(axis=-1) > 25).sum() > 500, key
        plain = shown
    assert page.is_checked("#show-score")
    assert page.get_attribute("[data-picture=reconstruction]", "aria-checked") == "true"


def test_list_is_sorted_and_next_goes_to_what_is_not_decided(opened, served):
    page = opened(case="upright")
    names = "() => [...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)"
    page.click("[data-column=lesion_ml]")
    sizes = {row["case"]: row["lesion_ml"] for row in served.ask("GET", "/cases").json["cases"]}
    assert page.evaluate(names) == sorted(sizes, key=sizes.get, reverse=True)
    page.click("[data-column=case]")
    assert page.evaluate(names) == ["turned", "upright"]
    page.keyboard.press("r")
    answered(page, 1)
    page.click("#next")
    page.wait_for_selector("#title:text-is('turned')")
    idle(page)
    page.keyboard.press("a")
    answered(page, 1)
    page.click("#next")
    assert "All cases are decided" in page.inner_text("#fault")


def test_two_reviewers_of_one_case_lose_nothing(opened, served):
    first, second = opened(case="turned"), opened(case="turned")
    first.click("[data-verdict=rejected]")
    answered(first, 1)
    second.click("[data-verdict=accepted]")
    second.wait_for_selector("#fault:has-text('reload')")
    assert [line["verdict"] for line in versions_of(served).all()] == ["rejected"]


def test_all_can_be_reached_on_a_laptop_and_a_tablet(opened):
    page = opened()
    for width, height in [(1280, 720), (1024, 768), (768, 1024)]:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert page.is_visible("#show-cases") != page.is_visible("#cases")
        for name in ("#undo", "#show-mask", "[data-verdict=rejected]", "#next", "#remark", "#who"):
            box = page.locator(name).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, name
            assert box["y"] >= 0 and box["y"] + box["height"] <= height, name
    page.click("#show-cases")
    page.click("tbody tr >> nth=1")
    page.wait_for_selector("tbody tr[aria-current=true] >> nth=0", state="hidden")
    assert page.inner_text("#title") == "upright"
