def index():
    return "admin"
