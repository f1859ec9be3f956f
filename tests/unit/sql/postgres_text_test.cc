#include <gtest/gtest.h>

#include "userspace/sql/postgres.h"

namespace lattice::sql {
namespace {

TEST(NumberParameters, CountsThoseOutsideOfQuotes) {
  EXPECT_EQ(NumberParameters("SELECT ? , '?''?', \"?\" FROM t WHERE a = ?"),
            "SELECT $1 , '?''?', \"?\" FROM t WHERE a = $2");
  EXPECT_EQ(NumberParameters(""), "");
}

TEST(WithoutPassword, ShowsHostAndUser) {
  EXPECT_EQ(WithoutPassword("postgresql://u:p@h:5432/d"), "postgresql://u@h:5432/d");
  EXPECT_EQ(WithoutPassword("postgresql://u:p:q@r@h/d?password=x"), "postgresql://u@h/d");
  EXPECT_EQ(WithoutPassword("postgresql://h:5432/d"), "postgresql://h:5432/d");
  EXPECT_EQ(WithoutPassword("postgresql:///d?host=/run/x"), "postgresql:///d");
}

}  // namespace
}  // namespace lattice::sql
