require "set"

class Tags
  def initialize
    @all = Set.new
  end

  def add(tag)
    @all.add(tag.downcase)
    self
  end

  def include?(tag)
    @all.include?(tag)
  end
end
