"""Headless Chromium, for pages that are opened as files."""

import contextlib
import shutil

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextlib.contextmanager
def chromium(folder):
    """A browser whose profile lies below `folder`; at its end it must have met no error."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium here: install the packages chromium and chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    errors = driver.get_log("browser")
    driver.quit()
    assert not errors, errors


@contextlib.contextmanager
def phone(driver):
    """The browser on a phone; pictures on the page that is open at the end fit, and are seen."""
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
        assert driver.execute_script("return document.documentElement.scrollWidth") == 390
        widths = driver.execute_script(
            "return [...document.querySelectorAll('.picture img')].map((i) => i.offsetWidth)"
        )
        assert widths
        assert min(widths) >= 160
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
