def start(clock):
    clock.ticks = 0
    clock.running = True


def reset(clock):
    clock.ticks = 0
    clock.log = []


def stop(clock):
    clock.running = False
