class Order:
    def __init__(self, lines):
        self.lines = lines

    def total(self):
        return sum(price for _, price in self.lines)
