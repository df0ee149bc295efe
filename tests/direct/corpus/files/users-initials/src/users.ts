export interface User {
  id: number;
  name: string;
}

export type Role = "admin" | "guest";

export async function greet(user: User, role: Role): Promise<string> {
  if (role === "guest") {
    return `Hello ${user.name}`;
  }
  return `Welcome back, ${user.name}`;
}

export const initials = (user: User): string => {
  return user.name
    .split(" ")
    .map((part) => part[0])
    .join("");
};
