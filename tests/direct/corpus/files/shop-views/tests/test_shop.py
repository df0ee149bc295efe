from shop.views import show


def test_show():
    assert show([("a", 1, 2)]) == "Total: 2"
