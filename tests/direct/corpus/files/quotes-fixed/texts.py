GREETING = "Good evening"
CLOSED = "We’re closed — come back “soon”"


def greet(name):
    return GREETING + ", " + name
