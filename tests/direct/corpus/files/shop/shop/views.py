from shop.models import Order


def show(lines):
    order = Order(lines)
    return f"Total: {order.total()}"
